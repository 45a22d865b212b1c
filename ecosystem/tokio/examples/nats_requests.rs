//! Requests over NATS by async-nats, which runs on tokio: `nats_requests ADDRESS`.
//!
//! A task of Curium answers requests of others. When it is cancelled, its subscription ends on the
//! server as well. A request that nothing answers has a time limit.

use std::env;
use std::error::Error;
use std::rc::Rc;

use async_nats::Client;
use async_nats::client::RequestErrorKind::NoResponders;
use curium::kernel::{cancellable, cancellable_after, gather_all};
use curium::prelude::*;
use futures::StreamExt;

type Anything = Box<dyn Error + Send + Sync>;

const SHORT: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(10);

async fn greet_all(client: Client, subscribed: Rc<Event>) -> Result<(), Anything> {
    let mut requests = cancellable(client.subscribe("greet")).await??;
    cancellable(client.flush()).await??; // the server knows the subscription
    subscribed.set();
    while let Some(request) = cancellable(requests.next()).await? {
        let text = format!("hello {}", std::str::from_utf8(&request.payload)?);
        let reply = request.reply.ok_or("this is no request")?;
        cancellable(client.publish(reply, text.into())).await??;
    }
    Ok(())
}

async fn greet(client: &Client, name: usize) -> Result<String, Anything> {
    let request = client.request("greet", name.to_string().into());
    let answer = cancellable_after(LONG, request).await???;
    Ok(std::str::from_utf8(&answer.payload)?.to_owned())
}

fn main() -> Result<(), Anything> {
    let address = env::args().nth(1).ok_or("no ADDRESS")?;
    curium_tokio::run(async || {
        let client = cancellable(async_nats::connect(&address)).await??;
        let subscribed = Rc::new(Event::new());
        let greeter = spawn(greet_all(client.clone(), subscribed.clone()));
        subscribed.wait().await?;
        let answers = gather_all((1..=100).map(|name| greet(&client, name))).await?;
        println!("{} answers, the last is: {}", answers.len(), answers[99]);

        let _silent = cancellable(client.subscribe("silent")).await??;
        let request = client.request("silent", "".into());
        println!("no answer: {}", cancellable_after(SHORT, request).await.is_err());

        greeter.cancel().await?;
        let request = client.request("greet", "".into());
        let refused = cancellable_after(LONG, request).await??;
        println!("after the cancel: {}", refused.is_err_and(|e| e.kind() == NoResponders));
        cancellable(client.drain()).await??;
        Ok(())
    })
}
