//! What a guest asked and printed. Shared between the guest's side of the host functions, which only take notes, and
//! its driver, which alone delivers answers.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures::channel::oneshot;

use crate::journal::{Answer, Ask, Millis};

/// Longest line that is kept; what is beyond it is cut off.
const LINE_BYTES_MAX: usize = 8 << 10;

/// How much a guest may print between two answers; what is beyond it is dropped, and a line says so.
const SLICE_LOG_BYTES_MAX: usize = 256 << 10;

/// How many asks a guest may make between two answers, given up or not, and of how many bytes in all.
const SLICE_ASKS_MAX: usize = 10_000;
const SLICE_ASK_BYTES_MAX: usize = 16 << 20;

/// Of how many bytes the asks may be that are open at once, in all.
const OPEN_ASK_BYTES_MAX: usize = 32 << 20;

/// What a guest asked for that ends it.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskLimit {
    #[error(
        "the component made more than {SLICE_ASKS_MAX} asks or {SLICE_ASK_BYTES_MAX} bytes of them between two answers, or \
         has more than {OPEN_ASK_BYTES_MAX} bytes of them open"
    )]
    TooMany,
    #[error("an ask of {bytes} bytes would not fit a journal entry, which has at most {max} (limit `entry_bytes`)")]
    TooLarge { bytes: u64, max: u64 },
}

impl AskLimit {
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::TooMany => "ask_limit",
            Self::TooLarge { .. } => "journal_limit",
        }
    }
}

/// An ask that waits for its answer.
#[derive(Debug, Clone)]
pub struct OpenAsk {
    pub op: u64,
    pub ask: Arc<Ask>,
    /// What the guest's clocks showed when it asked. The same on every replay, so a time that is counted from here is.
    pub asked_at: Millis,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// A line that a guest printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// How many answers had been delivered before.
    pub slice: usize,
    /// Counted from 0 in each slice.
    pub line: usize,
    pub stream: Stream,
    pub text: String,
}

pub(super) struct Asks {
    /// How large an ask may be, with its answer.
    entry_bytes: u64,
    inner: Mutex<Inner>,
}

struct Inner {
    started: Millis,
    now: Millis,
    next_op: u64,
    slice: usize,
    /// What was asked in this slice: how many asks, and of how many bytes.
    slice_asks: usize,
    slice_ask_bytes: usize,
    /// The bytes of all asks that are open.
    open_bytes: usize,
    open: BTreeMap<u64, Open>,
    fresh: Vec<u64>,
    abandoned: Vec<OpenAsk>,
    log: Log,
}

struct Open {
    ask: OpenAsk,
    answer: oneshot::Sender<Answer>,
}

/// The guest's end of an open ask. Dropping it gives the ask up.
pub(super) struct Pending {
    op: u64,
    answer: oneshot::Receiver<Answer>,
    asks: Arc<Asks>,
}

impl Asks {
    pub(super) fn new(started: Millis, entry_bytes: u64) -> Self {
        Self {
            entry_bytes,
            inner: Mutex::new(Inner {
                started,
                now: started,
                next_op: 0,
                slice: 0,
                slice_asks: 0,
                slice_ask_bytes: 0,
                open_bytes: 0,
                open: BTreeMap::new(),
                fresh: vec![],
                abandoned: vec![],
                log: Log::default(),
            }),
        }
    }

    /// No code under this lock can panic half-way through a change, so a poisoned one is as good as any.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an ask. An error ends the guest: it asks more than the host will hold.
    pub(super) fn ask(self: &Arc<Self>, ask: Ask) -> Result<Pending, AskLimit> {
        let (sender, answer) = oneshot::channel();
        let mut inner = self.inner();
        let bytes = ask.bytes();
        if bytes as u64 > self.entry_bytes {
            return Err(AskLimit::TooLarge { bytes: bytes as u64, max: self.entry_bytes });
        }
        inner.slice_asks += 1;
        inner.slice_ask_bytes = inner.slice_ask_bytes.saturating_add(bytes);
        inner.open_bytes = inner.open_bytes.saturating_add(bytes);
        if inner.slice_asks > SLICE_ASKS_MAX
            || inner.slice_ask_bytes > SLICE_ASK_BYTES_MAX
            || inner.open_bytes > OPEN_ASK_BYTES_MAX
        {
            return Err(AskLimit::TooMany);
        }
        let op = inner.next_op;
        inner.next_op += 1;
        let ask = OpenAsk { op, ask: Arc::new(ask), asked_at: inner.now };
        inner.open.insert(op, Open { ask, answer: sender });
        inner.fresh.push(op);
        Ok(Pending { op, answer, asks: self.clone() })
    }

    pub(super) fn deliver(&self, op: u64, answer: Answer, at: Millis) -> bool {
        let mut inner = self.inner();
        if !inner.open.get(&op).is_some_and(|open| answer.fits(&open.ask.ask)) {
            return false;
        }
        inner.now = inner.now.max(at);
        inner.slice += 1;
        inner.slice_asks = 0;
        inner.slice_ask_bytes = 0;
        inner.log.line = 0;
        inner.log.slice_bytes = 0;
        let Some(open) = inner.open.remove(&op) else { return false };
        inner.open_bytes -= open.ask.ask.bytes();
        // Outside the lock: it wakes the guest, whose waker may look at what is open.
        drop(inner);
        open.answer.send(answer).is_ok()
    }

    pub(super) fn open(&self) -> Vec<OpenAsk> {
        self.inner().open.values().map(|open| open.ask.clone()).collect()
    }

    pub(super) fn open_count(&self) -> usize {
        self.inner().open.len()
    }

    pub(super) fn count(&self) -> u64 {
        self.inner().next_op
    }

    /// The text of an ask that is open.
    pub(super) fn open_text(&self, op: u64) -> Option<String> {
        let ask = self.inner().open.get(&op)?.ask.ask.clone();
        Some(ask.to_text())
    }

    /// A word about an ask that is not open any more, for a message.
    pub(super) fn past(&self, op: u64) -> Option<String> {
        (op < self.count()).then(|| "an ask that has been answered or given up".into())
    }

    pub(super) fn take_fresh(&self) -> Vec<OpenAsk> {
        let mut inner = self.inner();
        let fresh = std::mem::take(&mut inner.fresh);
        fresh.iter().filter_map(|op| inner.open.get(op).map(|open| open.ask.clone())).collect()
    }

    pub(super) fn take_abandoned(&self) -> Vec<OpenAsk> {
        std::mem::take(&mut self.inner().abandoned)
    }

    pub(super) fn now(&self) -> Millis {
        self.inner().now
    }

    pub(super) fn started(&self) -> Millis {
        self.inner().started
    }

    pub(super) fn print(&self, stream: Stream, bytes: &[u8]) {
        let mut inner = self.inner();
        let slice = inner.slice;
        inner.log.print(slice, stream, bytes);
    }

    pub(super) fn take_log(&self) -> Vec<LogLine> {
        let mut inner = self.inner();
        let slice = inner.slice;
        inner.log.flush(slice);
        std::mem::take(&mut inner.log.lines)
    }

    /// The last lines that the guest wrote to stderr: after a trap, most likely why.
    pub(super) fn last_words(&self) -> Option<String> {
        let mut inner = self.inner();
        let slice = inner.slice;
        inner.log.flush(slice);
        let lines: Vec<&str> = inner
            .log
            .lines
            .iter()
            .filter(|line| line.slice == slice && line.stream == Stream::Stderr && !line.text.trim().is_empty())
            .map(|line| line.text.as_str())
            .collect();
        let last = lines.len().saturating_sub(3);
        (!lines.is_empty()).then(|| lines[last..].join(" "))
    }

    fn abandon(&self, op: u64) {
        let mut inner = self.inner();
        if let Some(open) = inner.open.remove(&op) {
            inner.open_bytes -= open.ask.ask.bytes();
            inner.abandoned.push(open.ask);
        }
    }
}

impl Pending {
    pub(super) fn op(&self) -> u64 {
        self.op
    }
}

impl Future for Pending {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        match Pin::new(&mut self.answer).poll(context) {
            Poll::Ready(Ok(answer)) => Poll::Ready(answer),
            // A sender is only dropped with the whole guest, or after it has sent.
            Poll::Ready(Err(_)) | Poll::Pending => Poll::Pending,
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.asks.abandon(self.op);
    }
}

/// Lines, bounded, as they are printed piece by piece.
#[derive(Default)]
struct Log {
    lines: Vec<LogLine>,
    line: usize,
    slice_bytes: usize,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Log {
    fn print(&mut self, slice: usize, stream: Stream, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (content, ends) = match piece.strip_suffix(b"\n") {
                Some(content) => (content, true),
                None => (piece, false),
            };
            let part = match stream {
                Stream::Stdout => &mut self.stdout,
                Stream::Stderr => &mut self.stderr,
            };
            let room = LINE_BYTES_MAX.saturating_sub(part.len());
            part.extend_from_slice(&content[..content.len().min(room)]);
            if ends {
                let text = std::mem::take(part);
                self.push(slice, stream, &text);
            }
        }
    }

    /// Ends the lines that were not ended.
    fn flush(&mut self, slice: usize) {
        for (stream, part) in
            [(Stream::Stdout, std::mem::take(&mut self.stdout)), (Stream::Stderr, std::mem::take(&mut self.stderr))]
        {
            if !part.is_empty() {
                self.push(slice, stream, &part);
            }
        }
    }

    fn push(&mut self, slice: usize, stream: Stream, text: &[u8]) {
        if self.slice_bytes > SLICE_LOG_BYTES_MAX {
            return;
        }
        self.slice_bytes += text.len() + 1;
        let text = if self.slice_bytes > SLICE_LOG_BYTES_MAX {
            format!("… what follows is dropped: more than {SLICE_LOG_BYTES_MAX} bytes between two answers")
        } else {
            // Postgres keeps no NUL in text.
            String::from_utf8_lossy(text).replace('\0', "\u{fffd}")
        };
        self.lines.push(LogLine { slice, line: self.line, stream, text });
        self.line += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY_BYTES: u64 = 2 << 20;

    #[test]
    fn lines_are_put_together_from_pieces_and_bounded() {
        let mut log = Log::default();
        log.print(0, Stream::Stdout, b"a");
        log.print(0, Stream::Stderr, b"x\n");
        log.print(0, Stream::Stdout, b"b\nc");
        log.flush(0);
        let texts: Vec<_> = log.lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(texts, ["x", "ab", "c"]);

        let mut log = Log::default();
        for _ in 0..1_000 {
            log.print(0, Stream::Stdout, &[b'y'; 100_000]);
            log.print(0, Stream::Stdout, b"\n");
        }
        let bytes: usize = log.lines.iter().map(|line| line.text.len()).sum();
        assert!(bytes <= SLICE_LOG_BYTES_MAX + LINE_BYTES_MAX);
        assert!(log.lines.last().unwrap().text.contains("dropped"));
    }

    #[test]
    fn an_ask_that_is_given_up_is_told_once() {
        let asks = Arc::new(Asks::new(0, ENTRY_BYTES));
        let first = asks.ask(Ask::Sleep { duration_ms: 1 }).unwrap();
        let second = asks.ask(Ask::Sleep { duration_ms: 2 }).unwrap();
        assert_eq!(asks.take_fresh().len(), 2);
        drop(first);
        assert_eq!(asks.take_abandoned().len(), 1);
        assert!(asks.take_abandoned().is_empty());
        assert!(!asks.deliver(0, Answer::Slept, 1));
        assert!(asks.deliver(1, Answer::Slept, 1));
        drop(second);
        assert!(asks.take_abandoned().is_empty(), "it was answered");
    }

    #[test]
    fn what_is_asked_and_given_up_between_two_answers_is_bounded_too() {
        let asks = Arc::new(Asks::new(0, ENTRY_BYTES));
        let large = || Ask::Call { target: "a.b".into(), input: "x".repeat(1 << 20) };
        let taken = (0..100).take_while(|_| asks.ask(large()).is_ok()).count();
        assert!(taken < 17, "{taken} MiB were held");
        let asks = Arc::new(Asks::new(0, ENTRY_BYTES));
        let taken = (0..100_000).take_while(|_| asks.ask(Ask::Sleep { duration_ms: 1 }).is_ok()).count();
        assert_eq!(taken, SLICE_ASKS_MAX);
    }

    #[test]
    fn an_ask_that_fits_no_journal_entry_is_refused_before_it_is_made() {
        let asks = Arc::new(Asks::new(0, 100));
        let of = |bytes| Ask::Call { target: "a.b".into(), input: "x".repeat(bytes) };
        assert!(asks.ask(of(97)).is_ok());
        let refused = asks.ask(of(98)).err().unwrap();
        assert_eq!((refused.code(), asks.count()), ("journal_limit", 1));
    }
}
