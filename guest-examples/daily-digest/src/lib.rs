//! Mails a digest every day, for as many days as it is told to, or until somebody stops it.
//!
//! Between two digests it exists only as rows in Postgres, and takes no memory, thread or timer.

use countersign_sdk::agent;

#[agent(name = "daily-digest", version = "1.0.0")]
mod daily_digest {
    use std::time::Duration;

    use countersign_sdk::futures::future::{Either, select};
    use countersign_sdk::{Error, Value, ai, call, data, json, note, pause, sleep};

    /// How many digests one execution may send. Each makes three entries in its journal, which every round replays.
    const ROUNDS_MAX: u32 = 366;

    const DAY_SECONDS: u64 = 24 * 60 * 60;

    /// How it ended.
    #[data]
    struct Outcome {
        sent: u32,
        /// On so many days there was none, because the model or the mailer failed.
        missed: u32,
        /// Whether somebody stopped it.
        stopped: bool,
        /// Who did, if that is known.
        stopped_by: Option<String>,
    }

    /// Mails a digest of some topics, once a day.
    #[function]
    async fn run(
        /// What it is about.
        topics: Vec<String>,
        /// The address that it goes to.
        to: String,
        /// How many digests there are.
        #[schemars(range(min = 1, max = 366))]
        rounds: u32,
        /// How long to wait between two; a day, if it is not given.
        #[serde(default = "day_seconds")]
        every_seconds: u64,
    ) -> Result<Outcome, Error> {
        // Who calls it from another agent has not been held against the schema.
        if !(1..=ROUNDS_MAX).contains(&rounds) {
            return Err(Error::new("invalid_input", format!("rounds: 1 to {ROUNDS_MAX}, not {rounds}")));
        }
        // One pause for all rounds: its name can be used only once, and while it is open it can be decided at any time.
        let mut stop = pause("stop").title(format!("Stop the digest for {to}?")).choices(["stop"]);
        let mut outcome = Outcome { sent: 0, missed: 0, stopped: false, stopped_by: None };
        let mut yesterdays = None;
        for round in 1..=rounds {
            match send(round, &topics, &to, yesterdays.as_deref()).await {
                Ok(digest) => {
                    outcome.sent += 1;
                    yesterdays = Some(digest);
                }
                // What does not work on the first day was never set up. Later it may be well again tomorrow.
                Err(error) if round == 1 => return Err(error),
                Err(error) => {
                    note!("round {round}: no digest: {error}");
                    outcome.missed += 1;
                }
            }
            if round == rounds {
                break;
            }
            // The pause is only borrowed: what is given up after a race is the sleep that lost it.
            match select(&mut stop, sleep(Duration::from_secs(every_seconds))).await {
                Either::Left((review, _)) => {
                    return Ok(Outcome { stopped: true, stopped_by: review?.reviewer, ..outcome });
                }
                Either::Right(((), _)) => {}
            }
        }
        Ok(outcome)
    }

    /// Writes a digest, mails it, and returns it.
    async fn send(round: u32, topics: &[String], to: &str, yesterdays: Option<&str>) -> Result<String, Error> {
        let mut prompt = ai().system("You write a short daily digest: what is new, in at most five points.");
        if let Some(yesterdays) = yesterdays {
            prompt = prompt.user("What was in yesterday's digest?").assistant(yesterdays);
        }
        let digest = prompt.user(format!("Today's topics: {}. Repeat nothing.", topics.join(", "))).text().await?;
        let mail = json!({ "to": to, "subject": format!("Digest {round}"), "body": digest });
        call::<Value>("mailer.send", &mail).await?;
        Ok(digest)
    }

    fn day_seconds() -> u64 {
        DAY_SECONDS
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use countersign_sdk::testing::{self, Answer, Execution, decided, never};
    use countersign_sdk::{AiError, CallError, json};

    use super::daily_digest::Agent;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn digest(rounds: u32) -> Execution {
        testing::start(Agent, "run", json!({"topics": ["Rust", "Wasm"], "to": "ann@example.com", "rounds": rounds}))
    }

    /// What is answered if everything works: the asks differ in kind only.
    fn all_well(execution: Execution, stop: Answer) -> Execution {
        execution.answer_with(move |ask| match ask["kind"].as_str() {
            Some("ai") => "- nothing new".into(),
            Some("call") => json!({"sent": true}).into(),
            _ => stop.clone(),
        })
    }

    #[test]
    fn it_sends_as_many_digests_as_it_is_told_to_a_day_apart() {
        let trace = all_well(digest(366), never()).finish();
        assert_eq!(trace.result, Ok(json!({"sent": 366, "missed": 0, "stopped": false, "stopped_by": null})));
        assert_eq!(trace.elapsed, 365 * DAY);
        let count = |kind: &str| trace.asks.iter().filter(|ask| ask["kind"] == kind).count();
        assert_eq!((count("ai"), count("call"), count("sleep"), count("pause")), (366, 366, 365, 1));
    }

    #[test]
    fn the_model_is_shown_yesterdays_digest_and_no_older_one() {
        let trace = digest(3)
            .answer("first")
            .answer(json!(null))
            .answer(never())
            .answer("second")
            .answer(json!(null))
            .answer("third")
            .answer(json!(null))
            .finish();
        let last = trace.asks.iter().rfind(|ask| ask["kind"] == "ai").expect("a model was asked").to_string();
        assert!(last.contains("second") && !last.contains("first"), "{last}");
        let mail = trace.call_input(trace.asks.len() - 1);
        assert_eq!(mail, json!({"to": "ann@example.com", "subject": "Digest 3", "body": "third"}));
    }

    #[test]
    fn somebody_can_stop_it_on_any_day() {
        let stop = decided("stop").reviewer("Ann").after(2 * DAY + DAY / 2);
        let trace = all_well(digest(366), stop).finish();
        assert_eq!(trace.result, Ok(json!({"sent": 3, "missed": 0, "stopped": true, "stopped_by": "Ann"})));
        assert_eq!(trace.elapsed, 2 * DAY + DAY / 2);
    }

    #[test]
    fn a_day_on_which_something_fails_is_missed_but_not_the_first() {
        let trace = digest(3)
            .answer("first")
            .answer(json!(null))
            .answer(never())
            .answer(AiError::RateLimited)
            .answer("third")
            .answer(CallError::Unavailable("the mailer is down".into()))
            .finish();
        assert_eq!(trace.result, Ok(json!({"sent": 1, "missed": 2, "stopped": false, "stopped_by": null})));
        assert_eq!(trace.log.len(), 2);
        assert!(trace.log[1].contains("the mailer is down"), "{:?}", trace.log);

        let trace = digest(3).answer("first").answer(CallError::NotFound("mailer".into())).finish();
        assert_eq!(trace.result.expect_err("there is no mailer").code, "call_not_found");
    }

    #[test]
    fn its_length_is_bounded_even_if_another_agent_starts_it() {
        for rounds in [0, 367] {
            let error = digest(rounds).finish().result.expect_err("these are no rounds");
            assert!(error.code == "invalid_input" && error.message.starts_with("rounds: "), "{error}");
        }
    }
}
