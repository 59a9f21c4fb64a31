//! The store's thread: the one writer of the database, and how its commits are grouped.
//!
//! ```text
//!  jobs that wait ──> BEGIN ─ job, job, job (a savepoint each) ─ COMMIT ──> all are answered
//! ```
//!
//! What waits when the thread is free becomes one transaction and one fsync. Nobody is answered before the
//! commit, so that grouping costs no promise: under load the disk is asked once for many, and a job that is
//! alone waits for nothing. A job that fails is rolled back alone.
//!
//! A group in which nobody needs more than order ([`Need::Order`]) is committed without an fsync: it is on
//! the disk with the next one that does, and after a power cut it is there whole or not at all.
//!
//! Bounds: [`GROUP`] jobs are one transaction; [`JOBS`] wait, then callers wait in turn.

use std::fs::File;
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::StoreError;

/// Requests that may wait for the thread: some 32 commands that a broker may have under way, and as many
/// front-ends and outcomes. More would only hide that the disk is too slow.
const JOBS: usize = 64;
/// The most jobs of one transaction: all that may wait.
const GROUP: usize = JOBS;

/// What a job needs of the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Need {
    /// Nothing: it only reads.
    Nothing,
    /// That it is there once anything later is. Losing it to a power cut costs a repeat and no promise.
    Order,
    /// That it is on the disk when it is answered.
    Disk,
}

/// A job that waits, with its caller.
trait Work: Send {
    /// Does the work. An error says that nothing of it is to stand.
    fn run(&mut self, connection: &Connection) -> Result<(), StoreError>;
    /// Tells the caller: the job's own result, where the commit has succeeded.
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

struct Job {
    need: Need,
    work: Box<dyn Work>,
}

struct Asked<T, F> {
    job: Option<F>,
    result: Result<T, StoreError>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Work for Asked<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, connection: &Connection) -> Result<(), StoreError> {
        if let Some(job) = self.job.take() {
            self.result = job(connection);
        }
        self.result.as_ref().map(|_| ()).map_err(Clone::clone)
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        // The caller may have gone; the work is done all the same.
        let _ = self.reply.send(committed.and(self.result));
    }
}

/// The handle to the thread.
#[derive(Debug, Clone)]
pub(super) struct Writer(mpsc::Sender<Job>);

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").field("need", &self.need).finish_non_exhaustive()
    }
}

impl Writer {
    /// Starts the thread, which ends when the last handle is dropped. It keeps the lock as long as the
    /// connection.
    pub(super) fn start(
        connection: Connection,
        lock: File,
    ) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (jobs, mut queue) = mpsc::channel(JOBS);
        let mut group = Group { connection, need: None, _lock: lock };
        let thread = std::thread::Builder::new().name("store".into()).spawn(move || {
            while let Some(first) = queue.blocking_recv() {
                let rest = std::iter::from_fn(|| queue.try_recv().ok());
                group.commit(std::iter::once(first).chain(rest).take(GROUP).collect());
            }
        })?;
        Ok((Self(jobs), thread))
    }

    /// Runs a job in a transaction and returns its result once that has been committed.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        need: Need,
        job: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let work = Box::new(Asked { job: Some(job), result: Err(StoreError::Closed), reply });
        self.0.send(Job { need, work }).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }
}

struct Group {
    connection: Connection,
    /// What `PRAGMA synchronous` is set for.
    need: Option<Need>,
    _lock: File,
}

impl Group {
    fn commit(&mut self, jobs: Vec<Job>) {
        let need = jobs.iter().map(|job| job.need).max().unwrap_or(Need::Nothing);
        // Where nothing can be written, what only reads is still served.
        let cannot_write = self.begin(need).err();
        let mut done: Vec<Box<dyn Work>> = Vec::new();
        for Job { need, mut work } in jobs {
            if let Some(error) = cannot_write.as_ref().filter(|_| need > Need::Nothing) {
                work.answer(Err(error.clone()));
                continue;
            }
            match self.attempt(need, work.as_mut()) {
                Ok(()) => done.push(work),
                Err(error) => {
                    // SQLite gives the whole transaction up when the disk fails it.
                    if self.connection.is_autocommit() {
                        done.drain(..).for_each(|work| work.answer(Err(error.clone())));
                        let _ = self.begin(need);
                    }
                    work.answer(Err(error));
                }
            }
        }
        let committed = self.end();
        done.into_iter().for_each(|work| work.answer(committed.clone()));
    }

    fn begin(&mut self, need: Need) -> Result<(), StoreError> {
        if need > Need::Nothing && self.need != Some(need) {
            let synchronous = if need == Need::Disk { "FULL" } else { "NORMAL" };
            self.connection.pragma_update(None, "synchronous", synchronous)?;
            self.need = Some(need);
        }
        let begun = match need {
            Need::Nothing => Ok(()),
            Need::Order | Need::Disk => self.connection.execute_batch("BEGIN IMMEDIATE"),
        };
        if need == Need::Nothing || begun.is_err() {
            self.connection.execute_batch("BEGIN")?;
        }
        Ok(begun?)
    }

    fn attempt(&self, need: Need, work: &mut dyn Work) -> Result<(), StoreError> {
        if need == Need::Nothing {
            return work.run(&self.connection);
        }
        let run = |sql: &str| -> rusqlite::Result<()> {
            self.connection.prepare_cached(sql)?.execute([]).map(drop)
        };
        run("SAVEPOINT job")?;
        let result = work.run(&self.connection);
        if result.is_err() && !self.connection.is_autocommit() {
            run("ROLLBACK TO job")?;
        }
        if !self.connection.is_autocommit() {
            run("RELEASE job")?;
        }
        result
    }

    fn end(&self) -> Result<(), StoreError> {
        let committed = match self.connection.is_autocommit() {
            true => Ok(()),
            false => self.connection.execute_batch("COMMIT"),
        };
        if committed.is_err() && !self.connection.is_autocommit() {
            // An error says that it has been rolled back already.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        Ok(committed?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bench(folder: &tempfile::TempDir) -> (Writer, JoinHandle<()>) {
        let path = folder.path().join("a.db");
        crate::store::open::create(&path).expect("a database");
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE;
        let connection = Connection::open_with_flags(&path, flags).expect("it opens");
        connection.execute_batch("CREATE TABLE t (n INTEGER PRIMARY KEY)").expect("a table");
        let lock = crate::store::open::lock(&path).expect("it is free");
        Writer::start(connection, lock).expect("a thread")
    }

    async fn insert(writer: &Writer, n: i64) -> Result<(), StoreError> {
        let sql = "INSERT INTO t VALUES (?1)";
        writer.run(Need::Disk, move |db| Ok(db.execute(sql, [n]).map(drop)?)).await
    }

    async fn count(writer: &Writer) -> i64 {
        let sql = "SELECT count(*) FROM t";
        let read = writer.run(Need::Nothing, |db| Ok(db.query_row(sql, [], |row| row.get(0))?));
        read.await.expect("counted")
    }

    /// Keeps the thread busy until the returned sender is used, so that what is asked meanwhile is one group.
    async fn busy(writer: &Writer) -> std::sync::mpsc::Sender<()> {
        let (free, wait) = std::sync::mpsc::channel();
        let (reply, _) = oneshot::channel();
        let job = move |_: &Connection| {
            let _ = wait.recv();
            Ok(())
        };
        let work = Box::new(Asked { job: Some(job), result: Err(StoreError::Closed), reply });
        assert!(writer.0.send(Job { need: Need::Nothing, work }).await.is_ok());
        free
    }

    #[tokio::test]
    async fn a_job_that_fails_is_rolled_back_alone_and_the_others_of_its_group_stand() {
        let folder = tempfile::tempdir().expect("a folder");
        let (writer, _thread) = bench(&folder);
        let free = busy(&writer).await;
        let half = writer.run(Need::Disk, |db| {
            db.execute("INSERT INTO t VALUES (3)", [])?;
            Err::<(), _>(StoreError::Row("no".into()))
        });
        let jobs = async {
            tokio::join!(insert(&writer, 1), half, insert(&writer, 2), insert(&writer, 1))
        };
        let freed = async { free.send(()).expect("the thread waits") };
        let ((first, half, second, twice), ()) = tokio::join!(jobs, freed);
        assert_eq!((first, second), (Ok(()), Ok(())));
        assert_eq!(half, Err(StoreError::Row("no".into())));
        assert!(twice.is_err(), "its key is taken by one of its own group");
        assert_eq!(count(&writer).await, 2);
    }

    #[tokio::test]
    async fn a_group_is_on_the_disk_as_one_transaction() {
        let folder = tempfile::tempdir().expect("a folder");
        let (writer, thread) = bench(&folder);
        let free = busy(&writer).await;
        let all = futures_util::future::join_all((0..JOBS as i64 - 1).map(|n| insert(&writer, n)));
        let freed = async { free.send(()).expect("the thread waits") };
        let (all, ()) = tokio::join!(all, freed);
        assert!(all.iter().all(Result::is_ok));
        assert_eq!(count(&writer).await, JOBS as i64 - 1);
        drop(writer);
        thread.join().expect("it ends with its last handle");
    }
}
