//! Drafts an announcement and has a person review it.

use countersign_sdk::agent;

#[agent(name = "{{name}}")]
mod announcer {
    use countersign_sdk::{Error, Value, ai, json, pause};

    /// Drafts an announcement, and returns it with what the reviewer decided.
    #[function]
    async fn announce(
        /// What to announce, and to whom.
        brief: String,
    ) -> Result<Value, Error> {
        let text = ai().system("You write short, friendly announcements.").user(brief).text().await?;
        // Here it may wait for days. The host may stop meanwhile; the model is not asked again.
        let review = pause("review").title("Publish this?").payload(&json!({ "text": text })).await?;
        Ok(json!({ "status": review.decision, "text": text }))
    }
}

#[cfg(test)]
mod tests {
    use countersign_sdk::json;
    use countersign_sdk::testing::{self, approved};

    use super::announcer::Agent;

    #[test]
    fn an_approved_draft_is_returned() {
        let trace = testing::start(Agent, "announce", json!({ "brief": "Night trains" }))
            .answer("All aboard!") // the model's
            .answer(approved()) // the reviewer's
            .finish();
        assert_eq!(trace.result, Ok(json!({ "status": "approved", "text": "All aboard!" })));
        assert_eq!(trace.asks[1]["title"], "Publish this?");
    }
}
