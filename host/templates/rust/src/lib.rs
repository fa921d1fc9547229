//! Drafts an announcement and has a person review it.

use countersign_sdk::agent;

#[agent(name = "{{name}}")]
mod announcer {
    use countersign_sdk::{Error, Value, ai, json, pause};

    /// Drafts an announcement, and returns it with what the reviewer decided.
    #[function]
    pub(super) async fn announce(
        /// What to announce, and to whom.
        brief: String,
    ) -> Result<Value, Error> {
        let text = ai().system("You write short, friendly announcements.").user(brief).text().await?;
        let review = pause("review").title("Publish this?").payload(&json!({ "text": text })).await?;
        Ok(json!({ "status": review.decision, "text": text }))
    }
}
