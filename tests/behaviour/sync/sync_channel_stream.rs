//! `sync::Receiver` as a stream.

use futures::StreamExt;
use kernel::{TaskCancelled, sleep, spawn, testing, yield_now};
use sync::channel;
use tokio_test::{assert_pending, assert_ready_eq};

use crate::support::time::secs;

/// Q3: the items of a channel are the items of the stream, which ends with the channel.
#[test]
fn a_receiver_is_a_stream() {
    testing::run(async || {
        for capacity in [0, 2] {
            let (sender, receiver) = channel(capacity);
            let producer = spawn(async move {
                for item in 0..5 {
                    sender.put(item).await?.unwrap();
                    if item == 2 {
                        yield_now().await?;
                    }
                }
                Ok::<_, TaskCancelled>(())
            });
            let mut items = receiver.map(Result::unwrap);
            let mut got = Vec::new();
            while let Some(item) = items.next().await {
                got.push(item);
            }
            assert_eq!(got, [0, 1, 2, 3, 4]);
            assert_eq!(items.next().await, None, "the stream has ended for good");
            producer.await?;
        }
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// C9: a cancellation is an item of the stream, and the stream goes on after it.
#[test]
fn a_cancellation_is_an_item_of_the_stream() {
    testing::run(async || {
        let (sender, mut receiver) = channel(1);
        let consumer = spawn(async move {
            let first = receiver.next().await;
            assert!(matches!(first, Some(Err(_))), "{first:?}");
            Ok::<_, TaskCancelled>(receiver.next().await)
        });
        testing::settle().await?;
        assert_eq!(consumer.state().to_string(), "CHANNEL_RECV");
        consumer.request_cancel();
        sleep(secs(1)).await?;
        sender.put(7).await?.unwrap();
        assert_eq!(consumer.await?, Some(Ok(7)));
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Y3: a stream that was polled, and is then left for another method, dropped or moved, loses no
/// item and keeps none from others.
#[test]
fn a_stream_that_waits_gives_its_turn_back() {
    let (sender, receiver) = channel(1);
    let mut stream = tokio_test::task::spawn(receiver.clone());
    let mut other = tokio_test::task::spawn(receiver.recv());
    assert_pending!(stream.poll_next());
    assert_pending!(other.poll());
    sender.try_put(1).unwrap();
    assert!(stream.is_woken() && !other.is_woken());
    // The call takes the turn of the stream back. Its item goes to the receiver behind it.
    assert_eq!(stream.try_recv(), Err(sync::TryRecvError::Empty));
    assert_ready_eq!(other.poll(), Ok(Some(1)));
    drop(other);

    assert_pending!(stream.poll_next());
    sender.try_put(2).unwrap();
    assert_eq!(stream.try_recv(), Ok(2));

    assert_pending!(stream.poll_next());
    sender.try_put(3).unwrap();
    drop(stream);
    assert_eq!(receiver.try_recv(), Ok(3));
    assert_eq!(receiver.statistics().receivers, 1);
}
