//! Handles that outlive their store's close. What fetches, publishes and acks say is in the scenarios
//! (`every_call_on_a_closed_store_says_that_it_is_closed`); here is the rest.

use crate::world::{stream_and_consumer, threaded};
use riverbed::{CloseError, FetchError, ReadError, RunError, Unavailable};

#[test]
fn r10_readers_runners_and_receivers_of_a_closed_store_say_so_or_end() {
    let store = threaded();
    let (stream, consumer) = stream_and_consumer(&store);
    let handle = stream.publish_async(("s", "x")).unwrap();
    let runner = consumer.run(1, |_| Ok::<(), String>(())).unwrap();
    let (events, mut range) = (store.events(1), stream.range(..));
    store.close().unwrap();
    // What was accepted is stored, and its handle says so also now.
    assert_eq!(handle.wait().unwrap().seq, 1);
    assert!(events.recv().is_err(), "the receiver ends");
    assert!(store.events(1).recv().is_err());
    let closed = Unavailable::Closed;
    assert_eq!(
        range.next().unwrap().unwrap_err(),
        ReadError::Unavailable(closed.clone())
    );
    assert!(range.next().is_none());
    let again = consumer.run(1, |_| Ok::<(), String>(())).unwrap_err();
    let unfetched = FetchError::Unavailable(closed.clone());
    assert_eq!(again, RunError::Fetch(unfetched));
    assert_eq!(store.check(), Err(closed));
    // The runner's workers ended when the store did; that is no failure of theirs.
    assert_eq!(runner.stop().unwrap().failed, 0);
    assert_eq!(
        store.close(),
        Ok::<(), CloseError>(()),
        "closing twice is closing once"
    );
}
