//! Drafts a post, has an editor review it, revises it, has a publisher sign it off, and publishes it.
//!
//! It waits for two people, one after the other, for up to a day. Meanwhile it exists only as rows in Postgres.

use countersign_sdk::agent;

#[agent(name = "content-pipeline", version = "1.0.0")]
mod content_pipeline {
    use std::time::Duration;

    use countersign_sdk::{Error, Value, ai, call, json, pause};

    const HOUR: Duration = Duration::from_secs(60 * 60);

    /// Drafts a post from a brief and publishes it, if an editor and a publisher agree.
    #[function]
    async fn publish_with_review(
        /// What the post is to say, and to whom.
        brief: String,
    ) -> Result<Value, Error> {
        let draft = ai().system("You are a senior copywriter.").user(brief).text().await?;

        // An editor reviews the draft.
        let review = pause("draft-review").url("https://cms.example.com/review/draft").expires_in(24 * HOUR).await?;
        if !review.approved() {
            return Ok(json!({ "status": review.decision, "feedback": review.feedback }));
        }

        let feedback = review.feedback.unwrap_or_default();
        let post = ai()
            .system("Revise based on editorial feedback.")
            .user(format!("Draft: {draft}\nFeedback: {feedback}"))
            .text()
            .await?;

        // A publisher signs off before it goes live.
        let sign_off = pause("final-approval").url("https://cms.example.com/review/final").expires_in(4 * HOUR).await?;
        if sign_off.approved() {
            call::<Value>("publisher.publish", &json!({ "content": post })).await?;
        }
        Ok(json!({ "status": sign_off.decision }))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use countersign_sdk::testing::{self, Execution, approved, decided, expired, rejected};
    use countersign_sdk::{AiError, Error, json};

    use super::content_pipeline::Agent;

    fn pipeline() -> Execution {
        testing::start(Agent, "publish_with_review", json!({"brief": "A launch."}))
    }

    #[test]
    fn a_post_that_both_agree_to_is_published_as_it_was_revised() {
        let trace = pipeline()
            .answer("A draft.")
            .answer(approved().feedback("Shorter."))
            .answer("A post.")
            .answer(approved())
            .answer(json!({"published": true}))
            .finish();
        assert_eq!(trace.result, Ok(json!({"status": "approved"})));
        // The agents in other languages ask the same, to the byte.
        assert_eq!(
            json!(trace.asks),
            json!([
                {"kind": "ai", "messages": [
                    {"role": "system", "content": "You are a senior copywriter."},
                    {"role": "user", "content": "A launch."},
                ]},
                {"kind": "pause", "approval_request_id": "draft-review", "expires_in_ms": 86_400_000,
                 "approval_request_url": "https://cms.example.com/review/draft"},
                {"kind": "ai", "messages": [
                    {"role": "system", "content": "Revise based on editorial feedback."},
                    {"role": "user", "content": "Draft: A draft.\nFeedback: Shorter."},
                ]},
                {"kind": "pause", "approval_request_id": "final-approval", "expires_in_ms": 14_400_000,
                 "approval_request_url": "https://cms.example.com/review/final"},
                {"kind": "call", "target": "publisher.publish", "input": "{\"content\":\"A post.\"}"},
            ])
        );
    }

    #[test]
    fn an_editor_who_does_not_approve_ends_it() {
        let trace = pipeline().answer("A draft.").answer(rejected().feedback("Off topic.")).finish();
        assert_eq!(trace.result, Ok(json!({"status": "rejected", "feedback": "Off topic."})));
        let trace = pipeline().answer("A draft.").answer(expired()).finish();
        assert_eq!(trace.result, Ok(json!({"status": "expired", "feedback": null})));
        assert_eq!(trace.elapsed, Duration::from_secs(24 * 60 * 60));
    }

    #[test]
    fn without_the_sign_off_nothing_is_published() {
        let trace = pipeline()
            .answer("A draft.")
            .answer(approved())
            .answer("A post.")
            .answer(decided("request_changes"))
            .finish();
        assert_eq!(trace.result, Ok(json!({"status": "request_changes"})));
        assert_eq!(trace.asks.len(), 4);
    }

    #[test]
    fn what_fails_fails_with_a_code() {
        let trace = pipeline().answer(AiError::RateLimited).finish();
        assert_eq!(trace.result.expect_err("no model answered").code, "ai_rate_limited");
        let down = Error::new("publish_failed", "the site is down");
        let trace =
            pipeline().answer("A draft.").answer(approved()).answer("A post.").answer(approved()).answer(down).finish();
        assert_eq!(trace.result.expect_err("the publisher failed").code, "call_failed");
    }
}
