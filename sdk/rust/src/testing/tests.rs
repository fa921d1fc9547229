use std::cell::RefCell;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt as _};

use crate::testing::{Answer, Trace, approved, decided, expired, never, rejected, start, start_future};
use crate::{AiError, CallError, Error, Pause, Value, ai, call, data, join, json, note, pause, select_biased, sleep};
use crate::{Review, timeout, try_join, wait_for_resume};

pub(super) const HOUR: Duration = Duration::from_secs(3600);

#[data]
pub(super) struct Verdict {
    stars: u8,
}

/// One function for each thing that an agent does.
#[crate::agent(name = "sampler", version = "1.0.0")]
mod sampler {
    use super::*;

    #[function]
    async fn greet(name: String, #[serde(default)] times: u8) -> Result<Value, Error> {
        note!("{name}, {times} times");
        Ok(json!({ "name": name, "times": times }))
    }

    #[function]
    async fn judge(post: String) -> Result<u8, Error> {
        let verdict: Verdict = ai().model("m").temperature(0.7).max_tokens(9).user(post).json().await?;
        Ok(verdict.stars)
    }
}

/// Asks two models at once, and tells which of them answered first.
async fn race() -> Result<Vec<String>, Error> {
    let order = RefCell::new(vec![]);
    let ask = async |prompt: &str| {
        let answer = ai().user(prompt).text().await;
        order.borrow_mut().push(prompt.to_owned());
        answer
    };
    let (a, b) = join!(ask("a"), ask("b"));
    a.and(b)?;
    Ok(order.into_inner())
}

fn gate() -> Pause {
    pause("gate").expires_in(4 * HOUR)
}

pub(super) async fn decision(pause: impl Future<Output = Result<Review, crate::PauseError>>) -> Result<String, Error> {
    Ok(pause.await?.decision)
}

pub(super) fn error(trace: Trace) -> Error {
    trace.result.expect_err("it failed")
}

#[test]
fn a_function_runs_by_its_name_from_json_to_json() {
    let trace = start(sampler::Agent, "greet", json!({"name": "Ann"})).finish();
    assert_eq!(trace.result, Ok(json!({"name": "Ann", "times": 0})));
    assert_eq!(trace.log, ["Ann, 0 times"]);
    assert_eq!(error(start(sampler::Agent, "shout", json!({})).finish()).code, "unknown_function");
}

#[test]
fn input_that_does_not_fit_names_the_field() {
    let refused = |input| error(start(sampler::Agent, "greet", input).finish());
    for (input, field) in [
        (json!({}), "missing field `name`"),
        (json!({"name": 7}), "name: invalid type"),
        (json!({"name": "Ann", "times": 999}), "times: invalid value"),
        (json!({"name": "Ann", "age": 9}), "age: unknown field"),
    ] {
        let error = refused(input);
        assert_eq!(error.code, "invalid_input");
        assert!(error.message.starts_with(field), "{error}");
    }
}

#[test]
fn asks_have_the_form_of_the_journal() {
    let trace = start(sampler::Agent, "judge", json!({"post": "Hi."})).answer(json!({"stars": 4})).finish();
    assert_eq!(trace.result, Ok(json!(4)));
    let schema = trace.asks[0]["schema"].as_str().expect("a schema is a text");
    assert_eq!(serde_json::from_str::<Value>(schema).unwrap()["required"], json!(["stars"]));
    let messages = json!([{"role": "user", "content": "Hi."}]);
    assert_eq!(
        trace.asks[0],
        json!({"kind": "ai", "messages": messages, "model": "m", "temperature": 0.7, "max_tokens": 9, "schema": schema})
    );

    let trace = start_future(async {
        pause("p").url("https://x").title("t").payload(&[1]).choices(["go"]).expires_in(HOUR).await?;
        wait_for_resume("q", Some(HOUR)).await?;
        sleep(HOUR).await;
        call::<Value>("a.b", &json!({"x": 1})).await.map_err(Error::from)
    });
    let trace = trace.answer(decided("go")).answer(approved()).answer("done").finish();
    assert_eq!(
        json!(trace.asks),
        json!([
            {"kind": "pause", "approval_request_id": "p", "approval_request_url": "https://x", "title": "t",
             "payload": "[1]", "choices": ["go"], "expires_in_ms": 3_600_000},
            {"kind": "wait_for_resume", "approval_request_id": "q", "timeout_ms": 3_600_000},
            {"kind": "sleep", "duration_ms": 3_600_000},
            {"kind": "call", "target": "a.b", "input": "{\"x\":1}"},
        ])
    );
    assert_eq!(trace.call_input(3), json!({"x": 1}));
    assert_eq!(trace.elapsed, HOUR);
}

#[test]
fn a_models_answer_that_does_not_fit_is_an_error_that_says_where() {
    let judge = |answer: Answer| error(start(sampler::Agent, "judge", json!({"post": "Hi."})).answer(answer).finish());
    let wrong = judge(json!({"stars": "many"}).into());
    assert_eq!(wrong.code, "ai_invalid_output");
    assert!(wrong.message.starts_with("stars: invalid type"), "{wrong}");
    assert_eq!(judge("no JSON at all".into()).code, "ai_invalid_output");
    assert_eq!(judge(AiError::Refused("no".into()).into()).code, "ai_refused");
}

#[test]
fn answers_are_delivered_in_the_order_of_asking_or_as_they_arrive_or_as_the_test_picks() {
    let in_order = start_future(race()).answer("A").answer("B").finish();
    assert_eq!(in_order.result, Ok(json!(["a", "b"])));
    let late = start_future(race()).answer(Answer::from("A").after(HOUR)).answer("B").finish();
    assert_eq!((late.result, late.elapsed), (Ok(json!(["b", "a"])), HOUR));
    let newest = start_future(race()).answer("A").answer("B").pick(|open| open.len() - 1).finish();
    assert_eq!((newest.result, newest.answered), (Ok(json!(["b", "a"])), vec![1, 0]));
}

#[test]
fn the_clock_never_goes_back_and_no_wait_is_longer_than_a_year() {
    let (late, later) = (Answer::from("A").after(HOUR), Answer::from("B").after(2 * HOUR));
    let trace = start_future(race()).answer(late).answer(later).pick(|open| open.len() - 1).finish();
    assert_eq!((trace.result, trace.elapsed), (Ok(json!(["b", "a"])), 2 * HOUR));

    let ages = start_future(async {
        sleep(Duration::MAX).await;
        Ok::<_, Error>(())
    });
    assert_eq!(ages.finish().elapsed, 366 * 24 * HOUR);
}

#[test]
fn a_pause_that_nobody_decides_in_time_expires() {
    let decided = |answer: Answer| {
        let trace = start_future(decision(gate())).answer(answer).finish();
        (trace.result.expect("a decision is no error"), trace.elapsed)
    };
    assert_eq!(decided(approved().after(3 * HOUR)), (json!("approved"), 3 * HOUR));
    for late in [approved().after(4 * HOUR), approved().after(5 * HOUR), expired(), never()] {
        assert_eq!(decided(late), (json!("expired"), 4 * HOUR));
    }
    assert_eq!(start_future(decision(gate())).finish().result, Ok(json!("expired")));
}

#[test]
fn a_timeout_gives_up_what_took_too_long_and_keeps_what_is_only_borrowed() {
    let long = start_future(async { timeout(HOUR, ai().user("?").text()).await?.map_err(Error::from) });
    let long = long.answer(Answer::from("late").after(2 * HOUR)).finish();
    assert_eq!((long.given_up.as_slice(), long.elapsed), ([0].as_slice(), HOUR));
    assert_eq!(error(long).code, "timeout");

    let kept = start_future(async {
        let mut pause = pause("gate");
        for round in 0.. {
            if let Ok(review) = timeout(HOUR, &mut pause).await {
                return Ok(format!("{} in round {round}", review?.decision));
            }
        }
        Err(Error::new("never", "the loop has no end"))
    });
    let kept = kept.answer(approved().after(2 * HOUR + HOUR / 2)).finish();
    assert_eq!(kept.result, Ok(json!("approved in round 2")));
    assert_eq!((kept.asks.len(), kept.given_up), (4, vec![3]));
}

#[test]
fn the_loser_of_a_race_is_given_up() {
    let trace = start_future(async {
        select_biased! {
            review = gate() => decision(async { review }).await,
            () = sleep(HOUR) => Err(Error::new("late", "an hour is over")),
        }
    });
    let trace = trace.answer(approved()).finish();
    assert_eq!((trace.result, trace.given_up), (Ok(json!("approved")), vec![1]));
}

#[test]
fn one_failure_ends_a_try_join_and_gives_up_the_rest() {
    let trace = start_future(async {
        let accept = async |id: &str| match decision(pause(id)).await?.as_str() {
            "approved" => Ok(()),
            other => Err(Error::new("refused", other)),
        };
        try_join!(accept("a"), accept("b")).map(|_| ())
    });
    let trace = trace.answer(approved().after(HOUR)).answer(rejected()).finish();
    assert_eq!((trace.answered.as_slice(), trace.given_up.as_slice()), ([1].as_slice(), [0].as_slice()));
    assert_eq!(error(trace), Error::new("refused", "rejected"));
}

#[test]
fn many_calls_at_once_are_woken_one_by_one() {
    let trace = start_future(async {
        let calls = (0..3).map(|n| call::<u32>("a.b", &n)).collect::<FuturesUnordered<_>>();
        Ok::<_, Error>(calls.map(|result| result.unwrap_or(99)).collect::<Vec<_>>().await)
    });
    let trace =
        trace.answer(json!(7)).answer(CallError::Cancelled).answer(json!(9)).pick(|open| open.len() / 2).finish();
    assert_eq!((trace.result, trace.answered), (Ok(json!([99, 9, 7])), vec![1, 2, 0]));
}

#[test]
fn a_call_fails_as_the_host_tells_it() {
    let called = |answer: Answer| error(start_future(async { call::<u8>("a.b", &1).await }).answer(answer).finish());
    let failed = called(Error::new("down", "the site is down").into());
    assert_eq!(failed.code, "call_failed");
    assert!(failed.message.contains("\"detail\":{\"code\":\"down\""), "{failed}");
    assert_eq!(called(CallError::NotFound("a".into()).into()).code, "call_not_found");
    assert_eq!(called(json!("text").into()).code, "call_invalid_result");
}

#[test]
fn a_wait_comes_back_to_a_pause_and_a_name_that_is_none_is_refused() {
    let trace = start_future(async {
        let first = decision(pause("gate")).await?;
        let waited = decision(wait_for_resume("gate", None)).await?;
        let bad = Error::from(pause("a b").await.expect_err("a name has no space"));
        Ok::<_, Error>([first, waited, bad.code])
    });
    let trace = trace.answer(approved()).finish();
    assert_eq!(trace.result, Ok(json!(["approved", "approved", "pause_invalid_request"])));

    let trace = start_future(async {
        let soon = decision(wait_for_resume("gate", Some(HOUR))).await?;
        let later = decision(wait_for_resume("gate", Some(2 * HOUR))).await?;
        Ok::<_, Error>([soon, later])
    });
    let trace = trace.answer(rejected().after(2 * HOUR)).finish();
    assert_eq!((trace.result, trace.elapsed), (Ok(json!(["expired", "rejected"])), 2 * HOUR));
}

#[test]
fn what_waits_for_nothing_is_stuck() {
    let trace = start_future(std::future::pending::<Result<(), Error>>()).finish();
    assert_eq!(error(trace).code, "stuck");
}

#[test]
fn a_function_that_wakes_itself_goes_on() {
    let trace = start_future(async {
        let mut yields = 3;
        std::future::poll_fn(|cx| {
            if yields == 0 {
                return std::task::Poll::Ready(());
            }
            yields -= 1;
            cx.waker().wake_by_ref();
            std::task::Poll::Pending
        })
        .await;
        Ok::<_, Error>(yields)
    });
    assert_eq!(trace.finish().result, Ok(json!(0)));
}

#[test]
#[should_panic(expected = "no answer was given to ask 0: {")]
fn a_missing_answer_fails_the_test() {
    start_future(decision(pause("gate"))).finish();
}

#[test]
#[should_panic(expected = "answers that nothing asked for: the last 1; it ended with Ok(String(\"approved\"))")]
fn an_answer_that_is_left_over_fails_the_test() {
    start_future(decision(pause("gate"))).answer(approved()).answer("what for?").finish();
}

#[test]
#[should_panic(expected = "the answer Text(\"yes\") does not fit ask 0")]
fn an_answer_of_another_kind_fails_the_test() {
    start_future(decision(pause("gate"))).answer("yes").finish();
}

#[test]
#[should_panic(expected = "the decision `aproved` is none of the choices")]
fn a_decision_that_is_none_of_the_choices_fails_the_test() {
    start_future(decision(pause("gate"))).answer(decided("aproved")).finish();
}

#[test]
#[should_panic(expected = "there is no host here to ask")]
fn asking_without_a_host_says_so() {
    let _ = futures::executor::block_on(decision(pause("gate")));
}
