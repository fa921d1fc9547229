//! Asks, waits and misbehaves in every way that the tests of the host need. Every function does one thing.

mod hostile;
mod report;
mod request;
mod sources;

#[cfg(test)]
mod tests;

use countersign_sdk::agent;

#[agent]
mod testbed {
    use std::cell::RefCell;
    use std::time::{Duration, SystemTime};

    use countersign_sdk::futures::future::{Either, join_all, select};
    use countersign_sdk::futures::join;
    use countersign_sdk::{self as sdk, Error, Value, ai, data, json};

    use crate::report::{call_report, pause_report, whole_review};
    use crate::request::Request;
    use crate::{hostile, sources};

    type Result<T = Value> = std::result::Result<T, Error>;

    // What comes back without anyone being asked.

    /// Returns its input.
    #[function]
    async fn echo(#[input] input: Value) -> Result {
        Ok(input)
    }

    /// Fails with the code `refused`.
    #[function]
    async fn fail() -> Result {
        Err(Error::new("refused", "this function always fails"))
    }

    /// Returns a string of so many bytes.
    #[function]
    async fn big_result(bytes: usize) -> Result<String> {
        Ok("x".repeat(bytes))
    }

    // Asking a model.

    /// Asks `tick 0`, `tick 1` and so on, one after the other.
    #[function]
    async fn many_ai(n: u64) -> Result {
        let mut last = None;
        for i in 0..n {
            last = Some(ai().user(format!("tick {i}")).text().await?);
        }
        Ok(json!({ "n": n, "last": last }))
    }

    /// Asks a prompt of so many bytes.
    #[function]
    async fn big_ask(bytes: usize) -> Result {
        let answer = ai().user("x".repeat(bytes)).text().await?;
        Ok(json!({ "answer_bytes": answer.len() }))
    }

    /// Asks `a` and `b` at once, and tells in which order they were answered.
    #[function]
    async fn join() -> Result {
        let order = RefCell::new(Vec::new());
        let ask = async |prompt: &'static str| {
            let answer = ai().user(prompt).text().await;
            order.borrow_mut().push(prompt);
            answer
        };
        let (a, b) = join!(ask("a"), ask("b"));
        Ok(json!({ "answers": [a?, b?], "order": order.into_inner() }))
    }

    // Waiting for people.

    /// Pauses once and returns the review.
    #[function]
    async fn pause_once(#[input] request: Request) -> Result {
        Ok(pause_report(request.into_pause().await))
    }

    /// Pauses once and returns the whole review, with all votes.
    #[function]
    async fn approve(#[input] request: Request) -> Result {
        Ok(whole_review(request.into_pause().await))
    }

    /// Pauses so many times under the name `round`, one after the other, and returns the decisions.
    #[function]
    async fn rounds(n: u64) -> Result<Vec<String>> {
        let mut decisions = Vec::new();
        for _ in 0..n {
            decisions.push(sdk::pause("round").await?.decision);
        }
        Ok(decisions)
    }

    /// Gets a link for a reviewer to the pause `only`, or to the one with the id `to`, and then pauses. Returns both.
    #[function]
    async fn link_then_pause(reviewer: String, to: Option<String>, request: Option<Request>) -> Result {
        let link = sdk::review_link(to.unwrap_or_else(|| "only".to_owned()), reviewer).await?;
        let review = whole_review(request.unwrap_or_default().into_pause().await);
        Ok(json!({ "link": link, "review": review }))
    }

    /// Gets a link for a reviewer, and tells it to everybody: prints it, asks the model with it, pauses with it.
    #[function]
    async fn spread_link(reviewer: String) -> Result {
        let link = sdk::review_link("only", reviewer).await?;
        println!("the link is {link}");
        let said = ai().user(format!("Send this: {link}")).text().await?;
        let review = sdk::pause("only").title(link.as_str()).payload(&json!({ "link": link, "said": said })).await?;
        Ok(json!({ "link": link, "said": said, "review": review }))
    }

    /// Pauses under `p0`, `p1` and so on, one after the other, and returns the decisions.
    #[function]
    async fn pauses(n: u64) -> Result<Vec<String>> {
        let mut decisions = Vec::new();
        for i in 0..n {
            decisions.push(sdk::pause(format!("p{i}")).await?.decision);
        }
        Ok(decisions)
    }

    /// Reconnects to an approval and returns the review.
    #[function]
    async fn wait(id: String, timeout_ms: Option<u64>) -> Result {
        Ok(pause_report(sdk::wait_for_resume(id, timeout_ms.map(Duration::from_millis)).await))
    }

    /// Races the pause `race` against a sleep.
    #[function]
    async fn race(timeout_ms: u64) -> Result {
        match select(sdk::pause("race"), sdk::sleep(Duration::from_millis(timeout_ms))).await {
            Either::Left((review, _)) => Ok(json!({ "winner": "pause", "decision": review?.decision })),
            Either::Right(((), _)) => Ok(json!({ "winner": "sleep", "decision": null })),
        }
    }

    /// Pauses under `a` and `b`, and waits for `b` by its name besides.
    #[function]
    async fn pauses_and_wait(expires_in_ms: u64) -> Result {
        let expires = Duration::from_millis(expires_in_ms);
        let (a, b, waited) = join!(
            sdk::pause("a").expires_in(expires),
            sdk::pause("b").expires_in(expires),
            sdk::wait_for_resume("b", None),
        );
        Ok(json!([a?.decision, b?.decision, waited?.decision]))
    }

    /// Gives up a pause whose name no database takes, and waits. Then asks for one that it can have.
    #[function]
    async fn impossible_names() -> Result {
        let _ = select(sdk::pause("x\0"), sdk::pause("y\0")).await;
        sdk::sleep(Duration::from_millis(50)).await;
        Ok(json!(sdk::pause("z").await?.decision))
    }

    /// Pauses under `gate`, asks a model `after`, and pauses under `end`. The altered agent asks `afterwards`.
    #[function]
    async fn pause_then_ai() -> Result {
        let gate = sdk::pause("gate").await?;
        let prompt = if cfg!(feature = "altered") { "afterwards" } else { "after" };
        let answer = ai().user(prompt).text().await?;
        let end = sdk::pause("end").await?;
        Ok(json!({ "gate": gate.decision, "answer": answer, "end": end.decision }))
    }

    // Calling other agents.

    /// Calls a function of another agent.
    #[function]
    async fn call(target: String, input: Value) -> Result {
        Ok(call_report(sdk::call(target, &input).await))
    }

    /// Calls a function of another agent, and then pauses under the name `then`.
    #[function]
    async fn call_then_pause(target: String, input: Value, then: String) -> Result {
        let call = call_report(sdk::call(target, &input).await);
        Ok(json!({ "call": call, "then": sdk::pause(then).await?.decision }))
    }

    /// Calls a function once for each input, all at once.
    #[function]
    async fn fan_out(target: String, inputs: Vec<Value>) -> Result<Vec<Value>> {
        let calls = inputs.iter().map(|input| sdk::call(&target, input));
        Ok(join_all(calls).await.into_iter().map(call_report).collect())
    }

    /// Races a call against a sleep.
    #[function]
    async fn race_call(target: String, input: Value, timeout_ms: u64) -> Result {
        match select(sdk::call(target, &input), sdk::sleep(Duration::from_millis(timeout_ms))).await {
            Either::Left((result, _)) => Ok(json!({ "winner": "call", "result": call_report(result) })),
            Either::Right(((), _)) => Ok(json!({ "winner": "sleep", "result": null })),
        }
    }

    /// How far `recurse` came.
    #[data]
    struct Depth {
        levels: u64,
    }

    /// Calls itself, by the name that it was deployed under, until `depth` is 0.
    #[function]
    async fn recurse(depth: u64, #[serde(rename = "self")] target: String) -> Result<Depth> {
        if depth == 0 {
            return Ok(Depth { levels: 0 });
        }
        let below: Depth = sdk::call(&target, &json!({ "depth": depth - 1, "self": target })).await?;
        Ok(Depth { levels: below.levels + 1 })
    }

    // Time, chance and the log.

    /// Sleeps.
    #[function]
    async fn sleep(ms: u64) -> Result {
        sdk::sleep(Duration::from_millis(ms)).await;
        Ok(json!({ "slept_ms": ms }))
    }

    /// Sleeps as a program does that knows nothing of its host.
    #[function]
    async fn std_sleep(ms: u64) -> Result {
        std::thread::sleep(Duration::from_millis(ms));
        Ok(json!({ "slept_ms": ms }))
    }

    /// Sleeps for no time, often, and tells how much time that was. Pauses under `p0`, `p1` and so on afterwards, if asked to.
    #[function]
    async fn ticks(n: u64, pauses: Option<u64>) -> Result {
        let start = SystemTime::now();
        for _ in 0..n {
            sdk::sleep(Duration::ZERO).await;
        }
        let elapsed = start.elapsed().unwrap_or_default();
        for i in 0..pauses.unwrap_or(0) {
            sdk::pause(format!("p{i}")).await?;
        }
        Ok(json!({ "n": n, "clock_ms": elapsed.as_millis() as u64 }))
    }

    /// Reads the clocks twice before and twice after asking a model.
    #[function]
    async fn clock() -> Result {
        let clocks = sources::Clocks::start();
        let before = [clocks.read(), clocks.read()];
        ai().user("what time is it?").text().await?;
        let after = [clocks.read(), clocks.read()];
        Ok(json!({ "before": before, "after": after }))
    }

    /// Returns random bytes, before and after asking a model, and 20 keys in the order of a `HashMap`.
    #[function]
    async fn random() -> Result {
        let before = sources::random_hex()?;
        let order = sources::hash_order();
        ai().user("a number?").text().await?;
        Ok(json!({ "before": before, "after": sources::random_hex()?, "order": order }))
    }

    /// Prints so many lines to stdout and stderr, before and after asking a model.
    #[function]
    async fn log(lines: u64) -> Result {
        sources::print_lines("before", lines);
        ai().user("anything to add?").text().await?;
        sources::print_lines("after", lines);
        Ok(json!({ "lines": lines }))
    }

    /// Prints at least so many bytes to stdout.
    #[function]
    async fn log_flood(bytes: u64) -> Result {
        Ok(json!({ "lines": hostile::flood(bytes) }))
    }

    // Misbehaving.

    /// Never returns.
    #[function]
    async fn loop_forever() -> Result {
        hostile::spin()
    }

    /// Never returns, once a model has answered.
    #[function]
    async fn loop_after_ai() -> Result {
        ai().user("may I?").text().await?;
        hostile::spin()
    }

    /// Takes memory, 1 MiB at a time, until it is given no more.
    #[function]
    async fn grow() -> Result {
        Ok(json!({ "mib": hostile::grow() }))
    }

    /// Takes so many MiB of memory, and keeps them while a model is asked.
    #[function]
    async fn hold_memory(mib: usize) -> Result {
        let taken = hostile::take(mib);
        ai().user("may I?").text().await?;
        Ok(json!({ "mib": taken.len() }))
    }

    /// Computes, and then asks a model, so many times.
    #[function]
    async fn toil(rounds: u64, steps: u64) -> Result<u64> {
        let mut sum = 0;
        for _ in 0..rounds {
            sum ^= hostile::compute(steps);
            ai().user("and now?").text().await?;
        }
        Ok(sum)
    }

    /// Panics.
    #[function]
    async fn trap() -> Result {
        panic!("the testbed was told to panic")
    }

    /// Panics, once a model has answered.
    #[function]
    async fn trap_after_ai() -> Result {
        ai().user("may I?").text().await?;
        panic!("the testbed was told to panic after the answer")
    }

    /// Uses up the stack.
    #[function]
    async fn recurse_stack() -> Result<u64> {
        Ok(hostile::descend(0))
    }
}
