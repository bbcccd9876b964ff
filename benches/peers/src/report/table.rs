//! One page a workload: a table for each of its cells.

use std::fmt::Write;

use super::index;
use super::summary::{Call, Cell, Figures};
use crate::cell::Workload;
use crate::record::Run;

/// What everybody is compared with.
const FLOOR: &str = "floor-zero";
const OURS: &str = "riverbed";

pub fn page(run: &Run, workload: Workload, cells: &[&Cell]) -> String {
    let mut page = format!("# {}\n\n", workload.title());
    page.push_str(&index::conditions(run));
    let _ = write!(page, "\n![{}]({}.svg)\n", workload.title(), workload.name());
    let mut explained = explain(workload).to_owned();
    explained.push_str(
        " Medians of the repetitions; the range is from the worst to the best of them. The probe is the \
         median of 4 KiB overwrites with fdatasync, taken right before and right after: rows whose probes \
         differ much were not measured on the same disk, so to speak; one that is half as slow again, or as fast, as \
         the median of its table is bold. What a peer promises is in the \
         [index](README.md).",
    );
    let _ = write!(page, "\n{explained}\n");
    for cell in cells {
        let (what, size) = (workload.parameter(), cell.size);
        let _ = match workload {
            Workload::Latency => write!(page, "\n## {size} B\n\n"),
            _ => write!(page, "\n## {what}: {}, {size} B\n\n", cell.number),
        };
        page.push_str(&match workload {
            Workload::Latency => latency(cell),
            _ => throughput(cell),
        });
    }
    page
}

fn explain(workload: Workload) -> &'static str {
    match workload {
        Workload::Publish => {
            "Each thread publishes one message after the other and waits until it is durable."
        }
        Workload::Batch => "One thread publishes batches; only the time in the calls counts.",
        Workload::Drain => {
            "One consumer fetches and acks until the backlog, or the time, is at its end; only the time in \
             the calls counts. Who does not make the count of deliveries durable does less here: see the index."
        }
        Workload::Cycle => {
            "Two producers publish batches, two consumers (one, where a peer allows no more) fetch and ack \
             batches; at most eight batches wait in the queue. The time of a fetch has the waiting for messages \
             in it."
        }
        Workload::Latency => {
            "One producer publishes a message when the consumer is waiting again; received is the time from \
             the call of publish until the consumer has it. The number of messages is that of all repetitions; \
             a p999 of less than some thousands says little."
        }
    }
}

fn throughput(cell: &Cell) -> String {
    let mut table = String::from(
        "| peer | messages/s | range | of floor-zero | of riverbed | call: p50 / p99 µs | probe µs |\n\
         |---|--:|--:|--:|--:|---|--:|\n",
    );
    for row in &cell.rows {
        let _ = match &row.figures {
            Err(why) => writeln!(table, "| {} | - | | | | {} | |", row.peer, escape(why)),
            Ok(figures) => {
                let calls: Vec<String> = figures.calls.iter().map(call).collect();
                writeln!(
                    table,
                    "| {} | {} | {} to {} | {} | {} | {} | {} |",
                    row.peer,
                    number(figures.per_second),
                    number(figures.least),
                    number(figures.most),
                    ratio(figures.per_second, cell.of_peer(FLOOR), rate),
                    ratio(figures.per_second, cell.of_peer(OURS), rate),
                    calls.join(", "),
                    probe(figures, cell)
                )
            }
        };
    }
    table
}

fn latency(cell: &Cell) -> String {
    let mut table = String::from(
        "| peer | received: p50 µs | p99 µs | p999 µs | p50 of floor-zero | p50 of riverbed | publish returned: p50 / p99 µs | messages | probe µs |\n\
         |---|--:|--:|--:|--:|--:|---|--:|--:|\n",
    );
    for row in &cell.rows {
        let figures = match &row.figures {
            Ok(figures) => figures,
            Err(why) => {
                let _ = writeln!(table, "| {} | - | | | | | {} | | |", row.peer, escape(why));
                continue;
            }
        };
        let [received, published] = figures.calls.as_slice() else {
            continue;
        };
        let _ = writeln!(
            table,
            "| {} | {:.0} | {:.0} | {:.0} | {} | {} | {:.0} / {:.0} | {} | {} |",
            row.peer,
            received.p50_us,
            received.p99_us,
            received.p999_us,
            ratio(received.p50_us, cell.of_peer(FLOOR), received_p50),
            ratio(received.p50_us, cell.of_peer(OURS), received_p50),
            published.p50_us,
            published.p99_us,
            received.count,
            probe(figures, cell)
        );
    }
    table
}

fn call(call: &Call) -> String {
    format!(
        "{}: {} / {}",
        call.name,
        time(call.p50_us),
        time(call.p99_us)
    )
}

fn probe(figures: &Figures, cell: &Cell) -> String {
    let probe = figures.probe_us;
    let usual = cell.probe_us();
    if probe > usual * 1.5 || probe * 1.5 < usual {
        format!("**{probe:.0}**")
    } else {
        format!("{probe:.0}")
    }
}

/// Small times with a digit behind the point: a fetch from memory takes less than a microsecond.
fn time(us: f64) -> String {
    if us < 10.0 {
        format!("{us:.1}")
    } else {
        format!("{us:.0}")
    }
}

fn rate(figures: &Figures) -> f64 {
    figures.per_second
}

fn received_p50(figures: &Figures) -> f64 {
    figures.calls.first().map_or(0.0, |call| call.p50_us)
}

fn ratio(value: f64, of: Option<&Figures>, what: fn(&Figures) -> f64) -> String {
    match of.map(what) {
        Some(base) if base > 0.0 => format!("{:.2}", value / base),
        _ => String::new(),
    }
}

/// Thousands apart; digits below a thousandth of a figure say nothing.
pub fn number(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// As one cell of a table.
pub fn escape(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_thousands_apart() {
        let written = [0.4, 999.6, 1_000.0, 1_234_567.0].map(number);
        assert_eq!(written, ["0", "1,000", "1,000", "1,234,567"]);
    }
}
