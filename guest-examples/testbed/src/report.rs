//! What went well, and what did not, as JSON.

use countersign_sdk::{CallError, Error, PauseError, Review, Value, json};

/// The review, or `{"error": {"code", "message"}}`.
pub(crate) fn pause_report(result: Result<Review, PauseError>) -> Value {
    match result {
        Ok(review) => json!(review),
        Err(error) => json!({ "error": Error::from(error) }),
    }
}

/// The same, and with `votes` even where there are none.
pub(crate) fn whole_review(result: Result<Review, PauseError>) -> Value {
    let mut report = pause_report(result);
    if report.get("decision").is_some() && report.get("votes").is_none() {
        report["votes"] = json!([]);
    }
    report
}

/// `{"ok": …}`, or `{"error": {"code", "message"}, "failed": …}` with the error of the called function, if it failed.
pub(crate) fn call_report(result: Result<Value, CallError>) -> Value {
    match result {
        Ok(value) => json!({ "ok": value }),
        Err(error) => {
            let failed = if let CallError::Failed(why) = &error { why.clone() } else { Value::Null };
            json!({ "error": Error::from(error), "failed": failed })
        }
    }
}
