//! The queue in the database. Each function is one step that happens as a whole, or not at all.

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error, Row};

/// `results` has no key, so that a job that is done twice is found out. The lock, which is held to
/// the end of the transaction, is for services and cores that begin at the same time.
const SCHEMA: &str = "
    SELECT pg_advisory_xact_lock(1);
    CREATE TABLE IF NOT EXISTS jobs (
        id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        key TEXT NOT NULL UNIQUE,
        lines BIGINT NOT NULL,
        state TEXT NOT NULL DEFAULT 'queued',
        attempt BIGINT NOT NULL DEFAULT 0,
        leased_until TIMESTAMPTZ);
    CREATE INDEX IF NOT EXISTS queued ON jobs (id) WHERE state = 'queued';
    CREATE TABLE IF NOT EXISTS lines (job BIGINT NOT NULL REFERENCES jobs, value BIGINT NOT NULL);
    CREATE INDEX IF NOT EXISTS lines_of_job ON lines (job);
    CREATE TABLE IF NOT EXISTS results (job BIGINT NOT NULL REFERENCES jobs, sum BIGINT NOT NULL);
    CREATE INDEX IF NOT EXISTS results_of_job ON results (job);";

/// A job that a worker has claimed. `attempt` tells it from a later claim of the same job.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) id: i64,
    pub(crate) attempt: i64,
    pub(crate) key: String,
}

/// What a job has to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Task {
    pub(crate) sum: i64,
    /// It works for as many milliseconds as its greatest line.
    pub(crate) milliseconds: u64,
}

pub(crate) async fn create_tables(client: &mut Client) -> Result<(), Error> {
    client.batch_execute(SCHEMA).await
}

/// Adds a job with its lines. `false` if there is one with this key.
pub(crate) async fn submit(client: &mut Client, key: &str, lines: &[i64]) -> Result<bool, Error> {
    let transaction = client.transaction().await?;
    let number = lines.len() as i64;
    let insert =
        "INSERT INTO jobs (key, lines) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING id";
    let inserted =
        transaction.query_typed(insert, &[(&key, Type::TEXT), (&number, Type::INT8)]).await?;
    let Some(row) = inserted.first() else { return Ok(false) };
    let id: i64 = row.get(0);
    for line in lines {
        let insert = "INSERT INTO lines VALUES ($1, $2)";
        transaction.execute_typed(insert, &[(&id, Type::INT8), (line, Type::INT8)]).await?;
    }
    transaction.commit().await?;
    Ok(true)
}

/// The state of a job, and its result once it has one.
pub(crate) async fn state(
    client: &mut Client,
    key: &str,
) -> Result<Option<(String, Option<i64>)>, Error> {
    let query = "SELECT state, sum FROM jobs LEFT JOIN results ON job = id WHERE key = $1";
    let rows = client.query_typed(query, &[(&key, Type::TEXT)]).await?;
    Ok(rows.first().map(|row| (row.get(0), row.get(1))))
}

/// The number of jobs in each state. It takes its time.
pub(crate) async fn report(client: &mut Client, seconds: f64) -> Result<String, Error> {
    let query = "SELECT state, COUNT(*) FROM jobs, pg_sleep($1) GROUP BY state ORDER BY state";
    let rows = client.query_typed(query, &[(&seconds, Type::FLOAT8)]).await?;
    let line = |row: &Row| format!("{} {}\n", row.get::<_, String>(0), row.get::<_, i64>(1));
    Ok(rows.iter().map(line).collect())
}

/// Claims the oldest job that no other worker is about to claim.
pub(crate) async fn claim(client: &mut Client) -> Result<Option<Job>, Error> {
    let query = "UPDATE jobs SET state = 'running', attempt = attempt + 1,
            leased_until = now() + interval '10 seconds'
        WHERE id = (SELECT id FROM jobs WHERE state = 'queued'
            ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
        RETURNING id, attempt, key";
    let rows = client.query_typed(query, &[]).await?;
    let job = |row: &Row| Job { id: row.get(0), attempt: row.get(1), key: row.get(2) };
    Ok(rows.first().map(job))
}

pub(crate) async fn task(client: &mut Client, id: i64) -> Result<Task, Error> {
    let query = "SELECT COALESCE(SUM(value), 0)::BIGINT, COALESCE(MAX(value), 0)
        FROM lines WHERE job = $1";
    let row = client.query_typed_one(query, &[(&id, Type::INT8)]).await?;
    Ok(Task { sum: row.get(0), milliseconds: row.get::<_, i64>(1).max(0) as u64 })
}

/// Writes the result, unless the job has been claimed by another worker meanwhile.
pub(crate) async fn complete(client: &mut Client, job: &Job, sum: i64) -> Result<bool, Error> {
    let transaction = client.transaction().await?;
    let update = "UPDATE jobs SET state = 'done', leased_until = NULL
        WHERE id = $1 AND attempt = $2 AND state = 'running'";
    let claim = [(&job.id as _, Type::INT8), (&job.attempt as _, Type::INT8)];
    if transaction.execute_typed(update, &claim).await? == 0 {
        return Ok(false);
    }
    let insert = "INSERT INTO results VALUES ($1, $2)";
    transaction.execute_typed(insert, &[(&job.id, Type::INT8), (&sum, Type::INT8)]).await?;
    transaction.commit().await?;
    Ok(true)
}

/// Lets another worker claim the job at once.
pub(crate) async fn give_back(client: &mut Client, job: &Job) -> Result<(), Error> {
    let update = "UPDATE jobs SET state = 'queued', leased_until = NULL
        WHERE id = $1 AND attempt = $2 AND state = 'running'";
    let claim = [(&job.id as _, Type::INT8), (&job.attempt as _, Type::INT8)];
    client.execute_typed(update, &claim).await.map(drop)
}

/// Gives back the jobs whose worker has been lost, and adds a job for each second.
pub(crate) async fn schedule(client: &mut Client) -> Result<u64, Error> {
    let update = "UPDATE jobs SET state = 'queued', leased_until = NULL
        WHERE state = 'running' AND leased_until < now()";
    let expired = client.execute_typed(update, &[]).await?;
    let insert = "INSERT INTO jobs (key, lines)
        VALUES ('second-' || floor(extract(epoch FROM now())), 0) ON CONFLICT DO NOTHING";
    client.execute_typed(insert, &[]).await?;
    Ok(expired)
}
