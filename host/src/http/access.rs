//! What each route asks of its caller: the one table of routes. `Role::may` says who that is, docs/api.md shows both.

use axum::extract::MatchedPath;
use axum::http::Method;
use axum::http::request::Parts;

use super::error::{Error, Result};
use crate::api_key::Action;

/// What a caller must show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing.
    Open,
    /// A body that is signed with a secret of the tenant.
    Signature,
    /// An API key whose role may do this.
    Key(Action),
}

/// A method, a path as the router has it, and who may use it.
pub(super) type Route = (Method, &'static str, Access);

/// Every operation of the API. One that is not here is refused to everybody.
pub const ROUTES: &[Route] = {
    use Access::{Key, Open, Signature};
    use Action::{
        Administer, Decide, Deploy, MakeLinks, ManageKeys, ManageTenants, Run, SeeAgents, SeeAudit, SeeExecutions,
        SeeGroups, SeePauses,
    };
    const GET: Method = Method::GET;
    const PUT: Method = Method::PUT;
    const POST: Method = Method::POST;
    const PATCH: Method = Method::PATCH;
    const DELETE: Method = Method::DELETE;
    &[
        (GET, "/v1/agents", Key(SeeAgents)),
        (GET, "/v1/agents/{agent}", Key(SeeAgents)),
        (GET, "/v1/agents/{agent}/versions", Key(SeeAgents)),
        (PUT, "/v1/agents/{agent}", Key(Deploy)),
        (POST, "/v1/agents/{agent}/versions/{version}/activate", Key(Deploy)),
        (GET, "/v1/executions", Key(SeeExecutions)),
        (GET, "/v1/executions/{id}", Key(SeeExecutions)),
        (GET, "/v1/executions/{id}/journal", Key(SeeExecutions)),
        (GET, "/v1/executions/{id}/logs", Key(SeeExecutions)),
        (GET, "/v1/executions/{id}/events", Key(SeeExecutions)),
        (POST, "/v1/executions", Key(Run)),
        (POST, "/v1/executions/{id}/cancel", Key(Run)),
        (GET, "/v1/pauses", Key(SeePauses)),
        (GET, "/v1/pauses/{id}", Key(SeePauses)),
        (POST, "/v1/pauses/{id}/decision", Key(Decide)),
        (POST, "/v1/pauses/{id}/links", Key(MakeLinks)),
        (POST, "/v1/webhooks/{tenant}", Signature),
        (GET, "/v1/groups", Key(SeeGroups)),
        (GET, "/v1/groups/{name}", Key(SeeGroups)),
        (PUT, "/v1/groups/{name}", Key(Administer)),
        (DELETE, "/v1/groups/{name}", Key(Administer)),
        (GET, "/v1/reviewers", Key(Administer)),
        (GET, "/v1/reviewers/{name}", Key(Administer)),
        (PUT, "/v1/reviewers/{name}", Key(Administer)),
        (DELETE, "/v1/reviewers/{name}", Key(Administer)),
        (GET, "/v1/endpoints", Key(Administer)),
        (POST, "/v1/endpoints", Key(Administer)),
        (GET, "/v1/endpoints/{name}", Key(Administer)),
        (PATCH, "/v1/endpoints/{name}", Key(Administer)),
        (DELETE, "/v1/endpoints/{name}", Key(Administer)),
        (POST, "/v1/endpoints/{name}/test", Key(Administer)),
        (POST, "/v1/endpoints/{name}/secret", Key(Administer)),
        (POST, "/v1/endpoints/{name}/redeliver", Key(Administer)),
        (GET, "/v1/deliveries", Key(Administer)),
        (GET, "/v1/deliveries/{id}", Key(Administer)),
        (POST, "/v1/deliveries/{id}/redeliver", Key(Administer)),
        (GET, "/v1/settings/agentfield", Key(Administer)),
        (PUT, "/v1/settings/agentfield", Key(Administer)),
        (GET, "/v1/secrets", Key(Administer)),
        (POST, "/v1/secrets", Key(Administer)),
        (DELETE, "/v1/secrets/{id}", Key(Administer)),
        (GET, "/v1/keys", Key(ManageKeys)),
        (POST, "/v1/keys", Key(ManageKeys)),
        (DELETE, "/v1/keys/{id}", Key(ManageKeys)),
        (GET, "/v1/audit", Key(SeeAudit)),
        (GET, "/v1/audit/export", Key(SeeAudit)),
        (GET, "/v1/tenants", Key(ManageTenants)),
        (POST, "/v1/tenants", Key(ManageTenants)),
        (GET, "/v1/tenants/{tenant}", Key(ManageTenants)),
        (POST, "/v1/tenants/{tenant}/suspend", Key(ManageTenants)),
        (POST, "/v1/tenants/{tenant}/resume", Key(ManageTenants)),
        (POST, "/v1/tenants/{tenant}/keys", Key(ManageTenants)),
        (POST, "/api/v1/execute/{target}", Key(Run)),
        (POST, "/api/v1/execute/async/{target}", Key(Run)),
        (GET, "/api/v1/executions/{execution_id}", Key(SeeExecutions)),
        (POST, "/api/v1/executions/{execution_id}/cancel", Key(Run)),
        (GET, "/api/v1/executions/{execution_id}/approval-status", Key(SeePauses)),
        (GET, "/api/v1/agents/{agent}/executions/{execution_id}/approval-status", Key(SeePauses)),
        (POST, "/api/v1/executions/{execution_id}/approval-response", Key(Decide)),
        (POST, "/api/v1/webhooks/approval-response", Signature),
        (POST, "/api/v1/webhooks/approval-response/{tenant}", Signature),
        (GET, "/healthz", Open),
        (GET, "/readyz", Open),
        (GET, "/metrics", Open),
    ]
};

/// What a request's key must be allowed to do. Fails if its route is not one for keys.
pub(super) fn action(parts: &Parts) -> Result<Action> {
    let path = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
    match find(&parts.method, path) {
        Some(Access::Key(action)) => Ok(action),
        other => {
            tracing::error!(method = %parts.method, path, ?other, "a route asks for a key, and the table does not say so");
            Err(Error::Internal)
        }
    }
}

fn find(method: &Method, path: &str) -> Option<Access> {
    // A HEAD is answered as a GET whose body is left out.
    let method = if method == Method::HEAD { &Method::GET } else { method };
    ROUTES.iter().find(|(of, route, _)| of == method && *route == path).map(|(_, _, access)| *access)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fmt::Write as _;

    use super::*;
    use crate::api_key::Role;
    use crate::http::document;

    /// Where the table is shown.
    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/api.md");

    #[test]
    fn every_operation_that_the_api_describes_has_one_row_and_no_other_does() {
        let described = serde_json::to_value(document()).expect("a document");
        let described: BTreeSet<(String, String)> = described["paths"]
            .as_object()
            .expect("paths")
            .iter()
            .flat_map(|(path, methods)| methods.as_object().into_iter().flatten().map(move |(m, _)| (path, m)))
            .map(|(path, method)| (path.clone(), method.to_uppercase()))
            .collect();
        let listed: BTreeSet<(String, String)> =
            ROUTES.iter().map(|(method, path, _)| ((*path).to_owned(), method.to_string())).collect();
        assert_eq!(listed.len(), ROUTES.len(), "a row is there twice");
        assert_eq!(described, listed);
    }

    /// The table as docs/api.md has it.
    fn table() -> String {
        let names: Vec<String> = Role::ALL.iter().map(|role| format!("`{}`", role.as_str())).collect();
        let mut table = format!("| | no key | {} |\n|---|---|{}\n", names.join(" | "), "---|".repeat(names.len()));
        for (method, path, access) in ROUTES {
            let (without, action) = match access {
                Access::Open => ("✔", None),
                Access::Signature => ("a signature", None),
                Access::Key(action) => ("", Some(*action)),
            };
            let with = |role: &Role| if action.is_some_and(|action| role.may(action)) { "✔" } else { "" };
            let cells: Vec<&str> = std::iter::once(without).chain(Role::ALL.iter().map(with)).collect();
            let _ = writeln!(table, "| `{method} {path}` | {} |", cells.join(" | "));
        }
        table.replace("|  |", "| |").replace("|  |", "| |")
    }

    #[test]
    fn the_page_shows_the_table() {
        let page = std::fs::read_to_string(PAGE).expect("the page");
        let begin = page.find("| | no key |").expect("the table's head");
        let end = begin + page[begin..].find("\n\n").expect("an end") + 1;
        let table = table();
        if std::env::var_os("COUNTERSIGN_WRITE_DOCS").is_some() {
            std::fs::write(PAGE, format!("{}{table}{}", &page[..begin], &page[end..])).expect("it can be written");
            return;
        }
        assert!(page[begin..end] == table, "docs/api.md shows another table; COUNTERSIGN_WRITE_DOCS=1 writes it anew");
    }
}
