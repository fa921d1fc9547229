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
