//! Threads that answer requests, with two priorities: nothing that is waited for while typing stands behind the rest.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// How soon somebody wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Priority {
    /// While typing: completion, hover, signature help.
    Typing,
    /// All else.
    Normal,
}

type Job = Box<dyn FnOnce() + Send>;

/// The stack of a thread: programs may be nested as deep as the parser allows.
const STACK: usize = 8 << 20;

/// A fixed number of threads. Dropping it waits for jobs that have begun and forgets the others.
pub(crate) struct Pool {
    queues: Arc<Queues>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Queues {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    typing: VecDeque<Job>,
    normal: VecDeque<Job>,
    ended: bool,
}

impl Pool {
    /// One thread for typing alone, `others` for everything.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn new(others: usize) -> std::io::Result<Self> {
        let mut pool = Self { queues: Arc::default(), threads: Vec::new() };
        for number in 0..=others.max(1) {
            let queues = pool.queues.clone();
            let only = (number == 0).then_some(Priority::Typing);
            let builder = std::thread::Builder::new().name(format!("request-{number}")).stack_size(STACK);
            pool.threads.push(builder.spawn(move || queues.work(only))?);
        }
        Ok(pool)
    }

    /// Runs a job as soon as a thread is free. A job does not panic: its caller has caught that.
    pub(crate) fn spawn(&self, priority: Priority, job: impl FnOnce() + Send + 'static) {
        let mut waiting = self.queues.lock();
        match priority {
            Priority::Typing => waiting.typing.push_back(Box::new(job)),
            Priority::Normal => waiting.normal.push_back(Box::new(job)),
        }
        drop(waiting);
        self.queues.changed.notify_all();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut waiting = self.queues.lock();
        waiting.ended = true;
        let forgotten = (std::mem::take(&mut waiting.typing), std::mem::take(&mut waiting.normal));
        drop(waiting);
        drop(forgotten);
        self.queues.changed.notify_all();
        for thread in self.threads.drain(..) {
            // A thread that panicked has nothing more to say.
            let _ = thread.join();
        }
    }
}

impl Queues {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, only: Option<Priority>) {
        while let Some(job) = self.next(only) {
            job();
        }
    }

    /// Waits for a job; none at the end.
    fn next(&self, only: Option<Priority>) -> Option<Job> {
        let mut waiting = self.lock();
        loop {
            if waiting.ended {
                return None;
            }
            if let Some(job) = waiting.typing.pop_front() {
                return Some(job);
            }
            if only.is_none()
                && let Some(job) = waiting.normal.pop_front()
            {
                return Some(job);
            }
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn typing_overtakes_what_waits_and_what_runs() {
        let pool = Pool::new(1).unwrap();
        let (release, blocked) = channel::<()>();
        let (said, heard) = channel();
        let first = said.clone();
        // Holds the one thread for everything, so that the second job has to wait.
        pool.spawn(Priority::Normal, move || {
            blocked.recv().unwrap();
            first.send("slow").unwrap();
        });
        let second = said.clone();
        pool.spawn(Priority::Normal, move || second.send("late").unwrap());
        pool.spawn(Priority::Typing, move || said.send("typed").unwrap());
        assert_eq!(heard.recv(), Ok("typed"));
        release.send(()).unwrap();
        assert_eq!((heard.recv(), heard.recv()), (Ok("slow"), Ok("late")));
    }
}
