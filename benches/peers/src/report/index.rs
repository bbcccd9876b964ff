//! The page that leads to the others, and says who promises what.

use std::fmt::Write;

use super::summary::Summary;
use super::syncs::Syncs;
use super::table::escape;
use crate::cell::Workload;
use crate::record::Run;

pub fn page(summary: &Summary, syncs: &Syncs) -> String {
    let run = &summary.run;
    let mut page = String::from(
        "# Benchmarks\n\n\
         The same work on riverbed, on what one would use instead, and on the bare disk. Written by \
         `benches/peers/run`; what is measured and how is in [its README](../../benches/peers/README.md).\n\n",
    );
    page.push_str(&conditions(run));
    page.push_str("\n## Workloads\n\n");
    for workload in Workload::ALL {
        if !summary.cells(workload).is_empty() {
            let (name, title) = (workload.name(), workload.title());
            let _ = writeln!(page, "- [{title}]({name}.md)");
        }
    }
    page.push_str("\n[What riverbed was to reach](marks.md), and whether it did; [how it came there](history.md).\n");
    page.push_str(
        "\n## Who promises what\n\n\
         Every peer in its most durable mode. The calls of the third column were counted under strace, for one \
         commit of one message of 100 B by one thread; whatever else the process did meanwhile is in them.\n\n\
         | peer | version | calls per commit | durable when publish returns | fetch and ack |\n\
         |---|---|---|---|---|\n",
    );
    for peer in &run.peers {
        let absent = match &peer.absent {
            Some(why) => format!("**SKIPPED: {}.** ", escape(why)),
            None => String::new(),
        };
        let _ = writeln!(
            page,
            "| {} | {} | {} | {absent}{} | {} |",
            peer.name,
            escape(&peer.version),
            syncs.of(&peer.name),
            escape(&peer.durability),
            escape(&peer.consuming)
        );
    }
    page
}

/// Where and how: without it no figure means anything.
pub fn conditions(run: &Run) -> String {
    let machine = &run.machine;
    let mut text = String::new();
    if run.quick {
        text.push_str("**A quick trial: these figures mean nothing.**\n\n");
    }
    let _ = writeln!(
        text,
        "{}, riverbed at {}; {} cores ({}), {} GiB, Linux {}, {}; `{}`: repetitions: {}, of {} s each.",
        run.date,
        run.commit,
        machine.cores,
        machine.processor,
        machine.memory_gib,
        machine.kernel,
        machine.file_system,
        run.command,
        run.repetitions,
        run.seconds
    );
    text
}
