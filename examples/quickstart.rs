//! The main job in one program: publish, work in two threads, a failure that is delivered again, and a
//! poison message that ends in the dead-letter stream and is brought back.
//!
//! ```text
//! cargo run --release --example quickstart           # in a temporary folder
//! cargo run --release --example quickstart -- PATH   # in a file that stays
//! ```

use riverbed::{Consumer, ConsumerConfig, Event, Message, Riverbed, Seq, StreamConfig};
use std::collections::BTreeSet;
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

/// Set when the printer is repaired: only then can the poison message be handled.
static REPAIRED: AtomicBool = AtomicBool::new(false);

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = std::env::args_os()
        .nth(1)
        .map_or_else(|| folder.path().join("quickstart.riverbed"), Into::into);
    println!("1. Open a store: one file, in this process, no server.");
    let store = Riverbed::open(&path)?;
    println!("   {}", path.display());

    println!(
        "\n2. A stream keeps what is published on its subjects; a consumer remembers how far it is."
    );
    let orders = store.create_stream(StreamConfig::new("orders").subjects(["orders.>"]))?;
    let labels = orders.create_consumer(
        ConsumerConfig::new("labels")
            .filter("orders.*.placed")
            .backoff([Duration::from_millis(50)])
            .max_deliver(3)
            .dead_letter("orders-dead"),
    )?;
    println!("   The consumer `labels` gives a message up after 3 failed deliveries.");

    println!("\n3. Publish. When it returns, the message is on disk.");
    let mut open = BTreeSet::new();
    for item in [
        "lamp",
        "chair",
        "flaky socket",
        "poison ivy",
        "table",
        "clock",
    ] {
        let ack = orders.publish("orders.eu.placed", item)?;
        println!("   message {} is stored: {item}", ack.seq);
        open.insert(ack.seq);
    }

    println!("\n4. Two workers print labels. Ok acks a message; Err has it delivered again.");
    let events = store.events(100);
    work(&labels, &mut open, &events)?;

    println!("\n5. The poison message is out of the way, and nothing of it is lost:");
    let mut back = BTreeSet::new();
    let dead = store.stream("orders-dead")?;
    for letter in dead.dead_letters() {
        let letter = letter?;
        println!(
            "   dead letter {}: {:?}, message {} of `{}`, given up by `{}` after {} failed deliveries",
            letter.message.seq(),
            String::from_utf8_lossy(letter.message.payload()),
            letter.seq,
            letter.stream,
            letter.consumer,
            letter.failures,
        );
        REPAIRED.store(true, SeqCst);
        let seq = dead.redrive(letter.message.seq())?;
        println!(
            "   The printer is repaired. Redriven to its stream as message {seq}, in one step."
        );
        back.insert(seq);
    }

    println!("\n6. Work again:");
    work(&labels, &mut back, &events)?;

    let info = labels.info()?;
    println!("\n7. What `labels` says in the end:");
    println!(
        "   {} acked, {} dead-lettered, {} failed deliveries, {} waiting",
        info.acked,
        info.dead_lettered,
        info.failures,
        info.pending + info.in_flight + info.due + info.delayed,
    );
    store.close()?;
    Ok(())
}

/// Runs two workers until every message of `open` is handled or dead-lettered.
fn work(
    labels: &Consumer,
    open: &mut BTreeSet<Seq>,
    events: &crossbeam_channel::Receiver<Event>,
) -> Result<(), Box<dyn Error>> {
    let (handled, heard) = crossbeam_channel::unbounded();
    let runner = labels.run(2, move |message: &Message| {
        let result = print_label(message);
        if result.is_ok() {
            handled.send(message.seq()).ok();
        }
        result
    })?;
    while !open.is_empty() {
        crossbeam_channel::select! {
            recv(heard) -> seq => { open.remove(&seq?); }
            recv(events) -> event => if let Event::DeadLettered { whose, to, to_seq, .. } = event? {
                println!("   message {} is given up: it is now message {to_seq} of `{to}`", whose.seq);
                open.remove(&whose.seq);
            },
        }
    }
    // Waits for the handlers that are at work, and for their acks.
    runner.stop()?;
    Ok(())
}

/// The application's part. It fails where the messages' names say so.
fn print_label(message: &Message) -> Result<(), String> {
    let item = String::from_utf8_lossy(message.payload());
    let (seq, delivery) = (message.seq(), message.deliveries());
    let fails = match item.as_ref() {
        "flaky socket" => delivery == 1,
        "poison ivy" => !REPAIRED.load(SeqCst),
        _ => false,
    };
    if fails {
        println!("   message {seq}, delivery {delivery}: {item:?} fails");
        return Err("the label printer jams".to_owned());
    }
    println!("   message {seq}, delivery {delivery}: {item:?} is done");
    Ok(())
}
