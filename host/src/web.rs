//! The reviewers' pages: what a link leads to. No scripts, no cookies.
//!
//! A form here needs no token against requests that another site makes a browser send: nothing in a browser, as a cookie
//! would, speaks for the reviewer. The address of the page does, and who knows it may decide.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use askama::Template as _;
use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use chrono::{DateTime, Utc};

use crate::approval::is_refusal;
use crate::audit::{Actor, Who};
use crate::db::asked::NotAsked;
use crate::db::decisions::{Decided, NewDecision};
use crate::db::pauses::Pause;
use crate::db::{self, Db};
use crate::decision::{CHOICE_BYTES_MAX, FEEDBACK_BYTES_MAX, Form, Unfit};
use crate::link::{Link, Links, redact};
use crate::metrics;

mod entry;
mod field;
mod form;
mod members;
mod page;
mod refusal;
mod shown;

use entry::FormView;
use form::{Blank, DECISION, FEEDBACK, Typed, Wrong};
use page::{Page, Standing};
use refusal::Refusal;

/// Largest body of a form, in bytes: a response and feedback, of which each byte may have become three.
const FORM_BYTES_MAX: usize = 3 * ((1 << 20) + FEEDBACK_BYTES_MAX + (64 << 10));

/// How long a browser may take to send it.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

const FORM: &str = "application/x-www-form-urlencoded";

/// What every page is sent with. The style is the only thing that it loads, and its form leads nowhere else. The address
/// of the page is told to nobody that it links to, and no search engine keeps it.
const HEADERS: [(HeaderName, &str); 3] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("x-robots-tag"), "noindex"),
];

/// What the pages need. Cheap to clone.
#[derive(Clone)]
pub struct Site {
    pub db: Db,
    pub links: Links,
}

pub fn router<S: Clone + Send + Sync + 'static>(site: Site) -> Router<S> {
    Router::new()
        .route("/r/style.css", get(style))
        .route("/r/{token}", get(show).post(decide))
        .layer(axum::middleware::map_response(harden))
        .with_state(site)
}

async fn style() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("web/style.css"))
}

async fn harden(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

type Token = Result<Path<String>, PathRejection>;
type Result<T, E = Refusal> = std::result::Result<T, E>;

/// Shows a pause. Changes nothing: programs that look for dangers in mails open links, too.
async fn show(State(site): State<Site>, token: Token) -> Result<Response> {
    let link = read(&site, token)?.1;
    render(look(&site, link).await?, Sent::default(), None).await
}

/// What a reviewer sees: the link, and what it leads to.
struct Seen {
    link: Link,
    /// None: it is not open yet, or never was.
    pause: Option<Pause>,
    agent: String,
    function: String,
    is_finished: bool,
    is_asked: bool,
    now: DateTime<Utc>,
}

/// What of a form was sent, and what is wrong with it.
#[derive(Default)]
struct Sent {
    typed: Option<Typed>,
    wrong: Wrong,
    alert: Option<String>,
}

fn read(site: &Site, token: Token) -> Result<(String, Link)> {
    let Ok(Path(token)) = token else { return Err(Refusal::BadLink) };
    let now = Utc::now().timestamp_millis().unsigned_abs();
    let link = site.links.read(&token, now).map_err(|_| Refusal::BadLink)?;
    Ok((token, link))
}

async fn look(site: &Site, link: Link) -> Result<Seen> {
    let now = Utc::now();
    let suspended = site.db.is_tenant_suspended(&link.tenant);
    let pause = site.db.find_pause(&link.tenant, &link.execution, &link.approval_request_id);
    let (suspended, pause) = tokio::try_join!(suspended, pause)?;
    if suspended {
        return Err(Refusal::Suspended);
    }
    match pause.filter(|pause| pause.status != "early") {
        Some(pause) => {
            let is_asked = site.db.asks(&link.tenant, &pause, &link.reviewer).await?;
            let (agent, function) = (pause.agent.clone(), pause.function.clone());
            Ok(Seen { link, pause: Some(pause), agent, function, is_finished: false, is_asked, now })
        }
        None => {
            let execution = site.db.find_execution(&link.tenant, &link.execution).await?.ok_or(Refusal::BadLink)?;
            let is_finished = execution.finished_at.is_some();
            let (agent, function) = (execution.agent, execution.function);
            Ok(Seen { link, pause: None, agent, function, is_finished, is_asked: false, now })
        }
    }
}

/// The page, with the status that the pause's state has, unless there is another one to tell.
async fn render(seen: Seen, sent: Sent, status: Option<StatusCode>) -> Result<Response> {
    // To read a form's schema may take a tenth of a second, in which nobody else should have to wait.
    let rendered = tokio::task::spawn_blocking(move || {
        let page = page_of(&seen, sent);
        let by_standing = if matches!(page.standing, Standing::Closed(_)) { StatusCode::GONE } else { StatusCode::OK };
        page.render().map(|html| (by_standing, html))
    });
    let (by_standing, html) = rendered.await.map_err(|_| Refusal::Internal)?.map_err(|error| {
        tracing::error!(%error, "a page could not be written");
        Refusal::Internal
    })?;
    // A page of one reviewer is no place for links of another.
    let html = redact(&html).into_owned();
    Ok((status.unwrap_or(by_standing), axum::response::Html(html)).into_response())
}

fn page_of(seen: &Seen, sent: Sent) -> Page {
    let mut page = match &seen.pause {
        Some(pause) => Page::new(&seen.link, pause, seen.is_asked, seen.now),
        None => Page::not_open(&seen.link, seen.agent.clone(), seen.function.clone()),
    };
    if seen.pause.is_none() && seen.is_finished {
        page.standing = Standing::Closed("The agent has ended without asking for this decision.");
    }
    page.alert = sent.alert;
    if let (Some(pause), Standing::Open) = (&seen.pause, &page.standing) {
        let form = form_of(pause);
        let blank = Blank::new(form.response_schema.as_deref(), form.editable.as_deref());
        let typed = sent.typed.unwrap_or_else(|| blank.untouched());
        page.form = Some(FormView::new(&form, &blank, &typed, &sent.wrong));
        if blank.shows_payload() {
            page.leave_out_payload();
        }
    }
    page
}

/// The form of a pause as it is shown: without what would make links in it work.
fn form_of(pause: &Pause) -> Form {
    let form = pause.form();
    let redacted = |text: Option<String>| text.map(|text| redact(&text).into_owned());
    Form { response_schema: redacted(form.response_schema), editable: redacted(form.editable), ..form }
}

/// Takes the decision that a form holds.
async fn decide(State(site): State<Site>, token: Token, request: Request) -> Result<Response> {
    let (token, link) = read(&site, token)?;
    let from = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
    let typed = body(request).await?;
    let seen = look(&site, link).await?;
    let Some(pause) = &seen.pause else {
        // Nobody knows yet what can be decided, so there was no form to send.
        let status = if seen.is_finished { StatusCode::GONE } else { StatusCode::CONFLICT };
        return render(seen, Sent::default(), Some(status)).await;
    };
    let new = match New::read(&typed, form_of(pause)).await {
        Ok(new) => new,
        Err((wrong, alert)) => return back(seen, typed, wrong, alert).await,
    };
    let decided = new.decide(&site, &seen.link, from).await?;
    metrics::decision(&decided);
    let (status, alert) = match decided {
        Decided::Accepted(_) | Decided::Recorded(_) | Decided::Duplicate(_) => {
            // Relative to this page, wherever a proxy has put it.
            return Ok((StatusCode::SEE_OTHER, [(header::LOCATION, token)]).into_response());
        }
        Decided::Unfit(unfit) => {
            let (wrong, alert) = explain(&unfit);
            return back(seen, typed, wrong, alert).await;
        }
        Decided::KeptForAnother => (StatusCode::CONFLICT, None),
        Decided::AlreadyDecided(_) => (StatusCode::CONFLICT, Some(ALREADY_DECIDED)),
        Decided::AlreadyVoted(_) => (StatusCode::CONFLICT, Some(ALREADY_VOTED)),
        Decided::NotAsked(NotAsked::Starter) => (StatusCode::FORBIDDEN, Some(STARTER)),
        Decided::NotAsked(NotAsked::Others) => (StatusCode::FORBIDDEN, None),
        Decided::Closed => (StatusCode::GONE, None),
        Decided::NotFound | Decided::WebhookIdReused => return Err(Refusal::BadLink),
    };
    // As it is by now.
    let seen = look(&site, seen.link).await?;
    render(seen, Sent { alert: alert.map(Into::into), ..Sent::default() }, Some(status)).await
}

const ALREADY_DECIDED: &str = "This was decided otherwise before. The first decision stands; yours was not taken.";
const ALREADY_VOTED: &str = "You have decided otherwise before. Your first decision stands; this one was not taken.";
const STARTER: &str = "Who started this may not decide it; somebody else must. Your decision was not taken.";

/// The page again, with what was typed, and what is wrong with it.
async fn back(seen: Seen, typed: Typed, wrong: Wrong, alert: String) -> Result<Response> {
    let sent = Sent { typed: Some(typed), wrong, alert: Some(alert) };
    render(seen, sent, Some(StatusCode::UNPROCESSABLE_ENTITY)).await
}

async fn body(request: Request) -> Result<Typed> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_form = kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(FORM));
    if !is_form || request.headers().contains_key(header::CONTENT_ENCODING) {
        return Err(Refusal::UnsupportedMediaType);
    }
    let read = axum::body::to_bytes(request.into_body(), FORM_BYTES_MAX);
    let read = tokio::time::timeout(BODY_TIMEOUT, read).await.map_err(|_| Refusal::RequestTimeout)?;
    // Too long, or the browser went away; nobody reads the answer then.
    let bytes = read.map_err(|_| Refusal::TooLarge)?;
    Typed::parse(&bytes).ok_or(Refusal::TooLarge)
}

/// A decision as it was sent, its parts within their bounds.
struct New {
    decision: String,
    feedback: Option<String>,
    response: Option<String>,
}

impl New {
    async fn read(typed: &Typed, form: Form) -> Result<Self, (Wrong, String)> {
        let decision = typed.get(DECISION).unwrap_or_default();
        if decision.is_empty() || decision.len() > CHOICE_BYTES_MAX || decision.contains('\0') {
            return Err((Wrong::new(), "Decide by one of the buttons.".into()));
        }
        let feedback = typed.get(FEEDBACK).map(str::trim_end).filter(|feedback| !feedback.trim().is_empty());
        if feedback.is_some_and(|feedback| feedback.len() > FEEDBACK_BYTES_MAX || feedback.contains('\0')) {
            let why = format!("This is too long, or holds what no text does: at most {FEEDBACK_BYTES_MAX} bytes.");
            return Err((Wrong::from([(FEEDBACK.into(), why)]), FIX.into()));
        }
        let (typed_too, is_refusal) = (typed.clone(), is_refusal(decision));
        let response = tokio::task::spawn_blocking(move || {
            Blank::new(form.response_schema.as_deref(), form.editable.as_deref()).response(&typed_too, is_refusal)
        });
        let response = response.await.unwrap_or_else(|_| Err(Wrong::new())).map_err(|wrong| (wrong, FIX.into()))?;
        Ok(Self { decision: decision.into(), feedback: feedback.map(Into::into), response })
    }

    async fn decide(&self, site: &Site, link: &Link, from: Option<IpAddr>) -> db::Result<Decided> {
        let via = format!("link:{}", link.id);
        let new = NewDecision {
            tenant: &link.tenant,
            execution: &link.execution,
            approval_request_id: &link.approval_request_id,
            decision: &self.decision,
            feedback: self.feedback.as_deref(),
            response: self.response.as_deref(),
            reviewer: Some(&link.reviewer),
            claimed: false,
            via: &via,
            actor: Actor { who: Who::Link(&link.reviewer), name: Some(&link.reviewer), from },
            delivery: None,
        };
        match site.db.decide(&new).await? {
            // Who refuses may leave the form half filled in.
            Decided::Unfit(Unfit::BadResponse(_)) if is_refusal(&self.decision) => {
                site.db.decide(&NewDecision { response: None, ..new }).await
            }
            decided => Ok(decided),
        }
    }
}

const FIX: &str = "Your decision was not taken yet: something is still missing or wrong below.";

/// What a reviewer is told of a decision that does not fit.
fn explain(unfit: &Unfit) -> (Wrong, String) {
    match unfit {
        Unfit::NoFeedback(choice) => {
            let why = format!("Say why: “{}” needs it.", entry::label(choice));
            (Wrong::from([(FEEDBACK.into(), why)]), FIX.into())
        }
        Unfit::NoResponse => (Wrong::new(), "Your decision was not taken yet: fill in the form below.".into()),
        Unfit::BadResponse(why) => {
            (form::wrong(why), format!("Your decision was not taken yet. What is filled in: {why}."))
        }
        Unfit::NotAChoice { .. } => (Wrong::new(), "Decide by one of the buttons.".into()),
        unfit => (Wrong::new(), format!("Your decision was not taken: {unfit}.")),
    }
}
