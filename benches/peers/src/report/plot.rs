//! A dot plot as SVG, written by hand: it needs neither a font nor a crate.
//!
//! The axis is logarithmic, because peers lie factors of a hundred apart, and dots do not pretend, as bars would,
//! that it begins at zero.

use std::fmt::Write;

use super::summary::{Cell, Figures};
use super::table::number;
use crate::cell::Workload;

const WIDTH: f64 = 860.0;
/// Where the names end and the axis begins, and where it ends; figures stand behind it.
const LEFT: f64 = 190.0;
const RIGHT: f64 = 640.0;
const ROW: f64 = 20.0;
const HEAD: f64 = 56.0;
/// Between two panels: the axis of one, the title of the next.
const GAP: f64 = 58.0;
const COLOURS: [&str; 4] = ["#1f77b4", "#d95f02", "#2ca02c", "#9467bd"];

/// All cells with the same number; a colour a size.
struct Panel<'a> {
    number: usize,
    cells: Vec<&'a Cell>,
    peers: Vec<&'a str>,
}

pub fn svg(workload: Workload, cells: &[&Cell]) -> String {
    let panels = panels(cells);
    let what = match workload {
        Workload::Latency => received_p50,
        _ => rate,
    };
    let unit = match workload {
        Workload::Latency => "µs from publish to receive (p50), less is better",
        _ => "messages a second, more is better",
    };
    let all = cells.iter().flat_map(|cell| &cell.rows);
    let values: Vec<f64> = all
        .filter_map(|row| row.figures.as_ref().ok())
        .map(what)
        .filter(|value| *value > 0.0)
        .collect();
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(1.0, f64::max);
    let axis = Axis {
        from: least.min(most).log10().floor(),
        to: most.log10().ceil(),
    };
    let rows: f64 = panels.iter().map(|panel| panel.peers.len() as f64).sum();
    let height = HEAD + rows * ROW + panels.len() as f64 * GAP;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    text(&mut svg, 12.0, 20.0, "font-size=\"15\"", workload.title());
    text(&mut svg, 12.0, 40.0, "fill=\"#555\"", unit);
    let mut sizes: Vec<usize> = cells.iter().map(|cell| cell.size).collect();
    sizes.dedup();
    for (at, size) in sizes.iter().enumerate() {
        let x = RIGHT + at as f64 * 80.0;
        dot(&mut svg, x, 36.0, colour(at));
        text(&mut svg, x + 9.0, 40.0, "", &format!("{size} B"));
    }
    let mut top = HEAD;
    for panel in &panels {
        top = draw(&mut svg, panel, workload, &axis, top, what, &sizes);
    }
    svg.push_str("</svg>\n");
    svg
}

fn panels<'a>(cells: &[&'a Cell]) -> Vec<Panel<'a>> {
    let mut panels: Vec<Panel> = Vec::new();
    for cell in cells {
        match panels.iter_mut().find(|panel| panel.number == cell.number) {
            Some(panel) => panel.cells.push(cell),
            None => panels.push(Panel {
                number: cell.number,
                cells: vec![cell],
                peers: Vec::new(),
            }),
        }
    }
    for panel in &mut panels {
        for row in panel.cells.iter().flat_map(|cell| &cell.rows) {
            if row.figures.is_ok() && !panel.peers.contains(&row.peer.as_str()) {
                panel.peers.push(&row.peer);
            }
        }
    }
    panels
}

/// One panel, from `top` on; says where the next begins.
fn draw(
    svg: &mut String,
    panel: &Panel,
    workload: Workload,
    axis: &Axis,
    top: f64,
    what: fn(&Figures) -> f64,
    sizes: &[usize],
) -> f64 {
    let title = match workload {
        Workload::Latency => String::new(),
        _ => format!("{}: {}", workload.parameter(), number(panel.number as f64)),
    };
    text(svg, 12.0, top + 18.0, "font-weight=\"bold\"", &title);
    let first = top + 28.0;
    let bottom = first + panel.peers.len() as f64 * ROW;
    for decade in axis.decades() {
        let x = axis.x(10_f64.powf(decade));
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{first:.1}\" y2=\"{bottom:.1}\" stroke=\"#ddd\"/>"
        );
        let label = number(10_f64.powf(decade));
        let style = "text-anchor=\"middle\" fill=\"#555\"";
        text(svg, x, bottom + 15.0, style, &label);
    }
    for (at, peer) in panel.peers.iter().enumerate() {
        let y = first + (at as f64 + 0.5) * ROW;
        let style = match *peer {
            "riverbed" => "text-anchor=\"end\" font-weight=\"bold\"",
            _ => "text-anchor=\"end\"",
        };
        text(svg, LEFT - 12.0, y + 4.0, style, peer);
        for cell in &panel.cells {
            let Some(value) = cell.of_peer(peer).map(what).filter(|value| *value > 0.0) else {
                continue;
            };
            let size = sizes.iter().position(|size| *size == cell.size);
            let size = size.unwrap_or_default();
            dot(svg, axis.x(value), y, colour(size));
            let x = RIGHT + 30.0 + size as f64 * 85.0;
            let style = format!("fill=\"{}\"", colour(size));
            text(svg, x, y + 4.0, &style, &number(value));
        }
    }
    bottom + GAP - 28.0
}

struct Axis {
    /// Powers of ten.
    from: f64,
    to: f64,
}

impl Axis {
    fn x(&self, value: f64) -> f64 {
        let part = (value.log10() - self.from) / (self.to - self.from).max(1.0);
        LEFT + part * (RIGHT - LEFT)
    }

    fn decades(&self) -> impl Iterator<Item = f64> {
        (self.from as i32..=self.to as i32).map(f64::from)
    }
}

fn rate(figures: &Figures) -> f64 {
    figures.per_second
}

fn received_p50(figures: &Figures) -> f64 {
    figures.calls.first().map_or(0.0, |call| call.p50_us)
}

fn colour(at: usize) -> &'static str {
    COLOURS.get(at % COLOURS.len()).copied().unwrap_or("black")
}

fn dot(svg: &mut String, x: f64, y: f64, colour: &str) {
    let _ = writeln!(
        svg,
        "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\" fill=\"{colour}\" fill-opacity=\"0.85\"/>"
    );
}

fn text(svg: &mut String, x: f64, y: f64, style: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" {style}>{text}</text>");
}
