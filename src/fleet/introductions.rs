//! What members say of themselves to each other, such as where DAX clients reach them. Nothing of the protocol rests on it: a node
//! that the bus does not hear knows what was said last.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::Fleet;
use super::bus::{Bus, BusError, Link};
use crate::locks::lock;

/// How often a member says it anew, and hears what the others say.
const INTERVAL: Duration = Duration::from_secs(1);

/// What a member says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introduced {
    /// The member's name.
    pub node: Box<str>,
    /// One line.
    pub words: Box<str>,
}

/// What this node says, and what it has heard.
pub(super) struct Introductions {
    words: OnceLock<Box<str>>,
    /// When it is to be said next.
    due: Mutex<Instant>,
    heard: watch::Sender<Arc<[Introduced]>>,
}

impl Introductions {
    pub(super) fn new() -> Self {
        let heard = watch::Sender::new(Arc::default());
        Self { words: OnceLock::new(), due: Mutex::new(Instant::now()), heard }
    }

    /// The node has a new life, in which it has said nothing yet.
    pub(super) fn begin_anew(&self) {
        *lock(&self.due) = Instant::now();
    }

    /// What to say now, if it is time.
    fn due(&self) -> Option<&str> {
        let words = self.words.get()?;
        let (mut due, now) = (lock(&self.due), Instant::now());
        if now < *due {
            return None;
        }
        *due = now + INTERVAL;
        Some(words)
    }
}

impl<B: Bus> Fleet<B> {
    /// Lets the other members know this one by these words, one line without a line end; the first call counts. What follows is what
    /// all present members say that say anything, this one among them, by their names, at most some seconds old while the bus
    /// answers.
    pub fn introduce_as(&self, words: &str) -> watch::Receiver<Arc<[Introduced]>> {
        self.introductions.words.get_or_init(|| words.into());
        self.introductions.heard.subscribe()
    }

    /// What was said last.
    pub fn introduced(&self) -> Arc<[Introduced]> {
        Arc::clone(&self.introductions.heard.borrow())
    }

    /// Says what is to be said, if it is time. A bus that rejects it has the node as a member all the same.
    pub(super) async fn introduce(&self, link: &mut B::Link) -> Result<(), BusError> {
        let Some(words) = self.introductions.due() else { return Ok(()) };
        let me = self.lock().me().clone();
        let said = match link.introduce(&me, words).await {
            Ok(said) => said,
            // The next heartbeat shows it.
            Err(BusError::OtherServer) => return Ok(()),
            Err(error @ BusError::Unreachable(_)) => return Err(error),
            Err(BusError::Rejected(reason)) => {
                self.say(
                    "introductions",
                    &format!("The fleet's bus does not let members introduce themselves: {reason}."),
                );
                return Ok(());
            }
        };
        let said =
            said.into_iter().map(|(member, words)| Introduced { node: member.node, words: words.into() });
        let mut said: Vec<_> = said.collect();
        said.sort_unstable_by(|one, other| (&one.node, &one.words).cmp(&(&other.node, &other.words)));
        self.introductions.heard.send_if_modified(|heard| {
            let is_news = **heard != *said;
            if is_news {
                *heard = said.into();
            }
            is_news
        });
        Ok(())
    }
}
