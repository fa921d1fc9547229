//! Deploys a release once two different people agree: one who knows the code, and one who runs it.
//!
//! Both are asked at once. The first who refuses ends it, and the other is not asked any more.

use countersign_sdk::agent;

#[agent(name = "deployment-approval", version = "1.0.0")]
mod deployment_approval {
    use std::time::Duration;

    use countersign_sdk::{CallError, Error, Review, Value, call, data, json, pause, try_join};

    /// How long each of them may take. Who has not decided by then has refused.
    const DECIDE_WITHIN: Duration = Duration::from_secs(4 * 60 * 60);

    /// What became of a release.
    #[data]
    #[serde(tag = "status", rename_all = "snake_case")]
    enum Outcome {
        /// Two people agreed.
        Deployed {
            approved_by: [String; 2],
            /// What the deployer had to say.
            deployment: Value,
        },
        /// It is not deployed.
        Refused {
            /// `engineering` or `operations`; null if it was neither, but that one person, or nobody known, was both.
            by: Option<String>,
            reason: String,
        },
    }

    /// Why a release is not deployed.
    enum Stop {
        Refused { by: Option<String>, reason: String },
        Failed(Error),
    }

    /// Deploys a version of a service, if engineering and operations agree within four hours.
    #[function]
    async fn deploy(
        /// The service, by its name.
        service: String,
        /// The version to deploy.
        version: String,
        /// What is new in it, for those who decide.
        changes: Option<String>,
    ) -> Result<Outcome, Error> {
        let release = json!({ "service": service, "version": version, "changes": changes });
        // The first refusal is the end: what is still open is dropped with it, and so withdrawn.
        let agreed = try_join!(approval("engineering", &release), approval("operations", &release))
            .and_then(|(first, second)| two_people(first, second));
        let approved_by = match agreed {
            Ok(approved_by) => approved_by,
            Err(Stop::Refused { by, reason }) => return Ok(Outcome::Refused { by, reason }),
            Err(Stop::Failed(error)) => return Err(error),
        };
        let deployment = call("deployer.deploy", &json!({ "service": service, "version": version })).await;
        match deployment {
            Ok(deployment) => Ok(Outcome::Deployed { approved_by, deployment }),
            // Whether it is out nobody knows, so nothing here tries again.
            Err(error @ CallError::Failed(_)) => Err(Error::new("deployment_failed", error.to_string())),
            Err(error) => Err(error.into()),
        }
    }

    /// Asks one of the two. Anything but an approval stops the release.
    async fn approval(team: &str, release: &Value) -> Result<Review, Stop> {
        let title = format!("Deploy {} {}?", text(&release["service"]), text(&release["version"]));
        let review = pause(format!("{team}-approval"))
            .title(title)
            .payload(release)
            .choices(["approved", "rejected"])
            .expires_in(DECIDE_WITHIN)
            .await
            .map_err(|error| Stop::Failed(error.into()))?;
        if review.approved() {
            return Ok(review);
        }
        let reason = match &review.feedback {
            Some(feedback) => feedback.clone(),
            None if review.expired() => "nobody decided in time".to_owned(),
            None => "no reason was given".to_owned(),
        };
        Err(Stop::Refused { by: Some(team.to_owned()), reason })
    }

    /// The names of two reviewers, if they are two people.
    ///
    /// Someone of whom nothing is known may be the same as anyone. So an approval without a name counts for nothing.
    fn two_people(first: Review, second: Review) -> Result<[String; 2], Stop> {
        let refused = |reason: &str| Err(Stop::Refused { by: None, reason: reason.to_owned() });
        let (Some(first), Some(second)) = (first.reviewer, second.reviewer) else {
            return refused("an approval does not say whose it is");
        };
        if first.trim().to_lowercase() == second.trim().to_lowercase() {
            return refused("both approvals come from the same person");
        }
        Ok([first, second])
    }

    fn text(value: &Value) -> &str {
        value.as_str().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use countersign_sdk::testing::{self, Answer, Decision, Execution, Trace, approved, expired, rejected};
    use countersign_sdk::{Error, json};

    use super::deployment_approval::Agent;

    const HOUR: Duration = Duration::from_secs(60 * 60);

    fn release() -> Execution {
        testing::start(Agent, "deploy", json!({"service": "shop", "version": "2.1.0"}))
    }

    fn approved_by(reviewer: &str) -> Decision {
        approved().reviewer(reviewer)
    }

    fn refused(trace: &Trace, by: Option<&str>, reason: &str) {
        assert_eq!(trace.result, Ok(json!({"status": "refused", "by": by, "reason": reason})));
        assert_eq!(trace.asks.len(), 2, "nothing is deployed: {:?}", trace.asks);
    }

    #[test]
    fn two_people_who_agree_deploy_in_whatever_order() {
        for (engineering, operations) in [(HOUR, 3 * HOUR), (3 * HOUR, HOUR)] {
            let trace = release()
                .answer(approved_by("Ann").after(engineering))
                .answer(approved_by("Bob").after(operations))
                .answer(json!({"url": "https://shop.example.com"}))
                .finish();
            let deployment = json!({"url": "https://shop.example.com"});
            let outcome = json!({"status": "deployed", "approved_by": ["Ann", "Bob"], "deployment": deployment});
            assert_eq!(trace.result, Ok(outcome));
            assert_eq!(trace.call_input(2), json!({"service": "shop", "version": "2.1.0"}));
            assert_eq!(trace.elapsed, 3 * HOUR, "both were asked at once");
        }
    }

    #[test]
    fn a_reviewer_sees_what_it_is_about() {
        let trace = release().answer(rejected()).finish();
        let mut ask = trace.asks[0].clone();
        // A text, whose fields may stand in any order.
        let payload = ask["payload"].take();
        let payload: countersign_sdk::Value =
            countersign_sdk::serde_json::from_str(payload.as_str().expect("a text")).expect("JSON");
        assert_eq!(payload, json!({"service": "shop", "version": "2.1.0", "changes": null}));
        assert_eq!(
            ask,
            json!({
                "kind": "pause", "approval_request_id": "engineering-approval", "title": "Deploy shop 2.1.0?",
                "payload": null, "choices": ["approved", "rejected"], "expires_in_ms": 14_400_000,
            })
        );
        assert_eq!(trace.asks[1]["approval_request_id"], "operations-approval");
    }

    #[test]
    fn either_can_refuse_and_the_other_is_not_asked_any_more() {
        let trace = release().answer(rejected().feedback("Not on a Friday.")).finish();
        refused(&trace, Some("engineering"), "Not on a Friday.");
        assert_eq!(trace.given_up, [1]);

        let trace = release().answer(approved_by("Ann").after(2 * HOUR)).answer(rejected().after(HOUR)).finish();
        refused(&trace, Some("operations"), "no reason was given");
        assert_eq!((trace.given_up, trace.elapsed), (vec![0], HOUR));
    }

    #[test]
    fn who_does_not_decide_within_four_hours_has_refused() {
        let trace = release().answer(approved_by("Ann")).answer(expired()).finish();
        refused(&trace, Some("operations"), "nobody decided in time");
        assert_eq!(trace.elapsed, 4 * HOUR);
    }

    #[test]
    fn one_person_is_not_two() {
        for same in ["Ann", "ann "] {
            let trace = release().answer(approved_by("Ann")).answer(approved_by(same)).finish();
            refused(&trace, None, "both approvals come from the same person");
        }
    }

    #[test]
    fn nobody_known_is_nobody() {
        for second in [approved(), approved_by("Bob")] {
            let trace = release().answer(approved()).answer(second).finish();
            refused(&trace, None, "an approval does not say whose it is");
        }
    }

    #[test]
    fn a_deployment_that_fails_is_an_error_and_is_not_tried_again() {
        let failure: Answer = Error::new("disk_full", "no room for shop 2.1.0").into();
        let trace = release().answer(approved_by("Ann")).answer(approved_by("Bob")).answer(failure).finish();
        assert_eq!(trace.asks.len(), 3);
        let error = trace.result.expect_err("it failed");
        assert_eq!(error.code, "deployment_failed");
        assert!(error.message.contains("no room"), "{error}");
    }
}
