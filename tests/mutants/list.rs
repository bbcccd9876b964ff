//! The faults that are put into the source, one at a time.

/// One fault: a place in the source, and what stands there instead.
pub(crate) struct Mutant {
    pub(crate) name: &'static str,
    pub(crate) file: &'static str,
    pub(crate) from: &'static str,
    pub(crate) to: &'static str,
}

pub(crate) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "a sync is left out",
        file: "src/store/backend.rs",
        from: "self.change(|| self.file.sync())",
        to: "self.change(|| Ok(()))",
    },
    Mutant {
        name: "the fence is skipped",
        file: "src/state/settle.rs",
        from: "Some(lease) if lease.serial == token.serial => Ok(()),",
        to: "Some(_) => Ok(()),",
    },
    Mutant {
        name: "an ack answers before its commit",
        file: "src/engine/settle.rs",
        from: "let lazy = durability == AckDurability::Lazy && *verdict == Verdict::Ack;",
        to: "let lazy = durability != AckDurability::Lazy && *verdict == Verdict::Ack;",
    },
    Mutant {
        name: "a publish answers before its commit",
        file: "src/engine/publish.rs",
        from: "match self.wait(staged.group) {",
        to: "match self.wait(0 * staged.group) {",
    },
    Mutant {
        name: "a delivery is handed out before it is counted",
        file: "src/engine/fetch.rs",
        from: "            self.wait(group)?;\n            if nothing.is_some() {",
        to: "            let _ = group;\n            if nothing.is_some() {",
    },
    Mutant {
        name: "an empty fetch answers before what it saw is stored",
        file: "src/engine/fetch.rs",
        from: "about a state that must be durable (R1).\n                    self.wait(group)?;",
        to: "about a state that must be durable (R1).\n                    let _ = group;",
    },
    Mutant {
        name: "a row of message ids is dropped",
        file: "src/state/dedup.rs",
        from: "            self.dirty.insert(self.next_row);",
        to: "            if self.next_row % 2 == 0 {\n                self.dirty.insert(self.next_row);\n            }",
    },
    Mutant {
        name: "an id that was released stays in its row",
        file: "src/state/dedup/release.rs",
        from: "        self.dirty.insert(number);\n        taken",
        to: "        let _ = number;\n        taken",
    },
    Mutant {
        name: "the counts of a consumer are not stored",
        file: "src/state/consumer/rows.rs",
        from: "            totals: self.totals,\n        };\n        let key = RowKey::new(Table::ConsumerState",
        to: "            totals: Default::default(),\n        };\n        let key = RowKey::new(Table::ConsumerState",
    },
    Mutant {
        name: "a block's summary is off by one",
        file: "src/format/intern.rs",
        from: "for field in [entry.end, entry.count, entry.last] {",
        to: "for field in [entry.end, entry.count, entry.last.saturating_sub(1).max(entry.count - 1)] {",
    },
    Mutant {
        name: "a deleted message is not stored as deleted",
        file: "src/state/windows.rs",
        from: "            changes.push(Change::Put { key, value });",
        to: "            let _ = (&key, &value, &*changes);",
    },
    Mutant {
        name: "a dead letter is copied and also stays",
        file: "src/state/dead_letter.rs",
        from: "                    consumer.finish(seq);\n                    consumer.totals.dead_lettered += 1;",
        to: "                    consumer.totals.dead_lettered += 1;",
    },
    Mutant {
        name: "a message caught in a crash is not marked",
        file: "src/state/consumer/rows.rs",
        from: "                entry.crashes += 1;",
        to: "                entry.crashes += 0;",
    },
    Mutant {
        name: "the bytes in use are miscounted",
        file: "src/store/apply.rs",
        from: "            usage.free(replaced.value());",
        to: "            let _ = (&mut usage, replaced.value());",
    },
    Mutant {
        name: "retention keeps one message too many",
        file: "src/state/trim.rs",
        from: "if over(stream.messages - gone, config.max_messages)",
        to: "if over((stream.messages - gone).saturating_sub(1), config.max_messages)",
    },
    Mutant {
        name: "a record of the journal is not synced",
        file: "src/store/journal.rs",
        from: "            Syncing::Each => self.sync(),",
        to: "            Syncing::Each => Ok(()),",
    },
    Mutant {
        name: "a checkpoint does not say what it brought",
        file: "src/store/ahead.rs",
        from: "        changes.changes.push(expected.change());",
        to: "        let _ = &expected;",
    },
    Mutant {
        name: "a block that grew is read back without what was added",
        file: "src/store/resolve.rs",
        from: "*whole = Some(grow(&before, added).map_err(|why| damaged(why.to_string()))?);",
        to: "*whole = Some(grow(&before, added).map(|_| before).map_err(|why| damaged(why.to_string()))?);",
    },
    Mutant {
        name: "what is to be synced later is only said to be",
        file: "src/store/ahead.rs",
        from: "        written.sync()?;\n",
        to: "",
    },
];
