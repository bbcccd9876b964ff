//! Publishes single messages and nothing else, so that a tracer can count what that takes.

use anyhow::{Result, bail};
use std::path::Path;

use crate::options::Count;
use crate::payload::Payloads;
use crate::peers;

const SIZE: usize = 100;

pub fn run(options: &Count, folder: &Path) -> Result<()> {
    if let Some(why) = options.peer.absent() {
        bail!("SKIPPED: {why}");
    }
    let place = folder.join(options.peer.name());
    std::fs::create_dir(&place)?;
    let queue = options.peer.open(&place)?;
    let payloads = Payloads::new(SIZE);
    let mut client = queue.client()?;
    let mut message = Vec::new();
    for _ in 0..options.messages {
        payloads.fill(&mut message, 1);
        client.publish(&mut message)?;
    }
    drop(client);
    queue.close()
}

pub fn list() {
    for peer in peers::ALL {
        println!("{} {}", peer.name(), peer.version());
        println!("    publish: {}", peer.durability());
        println!("    consume: {}", peer.consuming());
        if let Some(why) = peer.absent() {
            println!("    SKIPPED: {why}");
        }
    }
}
