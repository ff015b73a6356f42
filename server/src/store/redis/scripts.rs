//! Which steps happen inside Redis, all or nothing?
//!
//! Each script is one file, with its arguments and answers at the top. Redis keeps them until it restarts; when it has forgotten one it says
//! so before anything is done, and gets all of them again.

use super::link::{Line, enough_replicas};
use super::trouble::{Trouble, checked};
use redis::{Cmd, Pipeline, Value};
use tokio::time::Duration;

/// How long a write waits for replicas to confirm it. Less than an answer may take, so that too few are told apart from silence.
const REPLICAS_WAIT: Duration = Duration::from_millis(2000);

/// How often scripts are loaded for one request. The second time means that somebody flushes them all the time.
const LOADS: usize = 2;

/// One script.
#[derive(Debug)]
pub(crate) struct Script {
    script: redis::Script,
    source: String,
}

impl Script {
    fn new(source: &str) -> Self {
        Self { script: redis::Script::new(source), source: source.to_owned() }
    }

    /// One that speaks of places in a log: the shared part stands behind the first line, which says what kind of script it is.
    fn with_places(source: &str) -> Self {
        let (kind, rest) = source.split_once('\n').expect("a script has a first line");
        Self::new(&format!("{kind}\n{}\n{rest}", include_str!("scripts/place.lua")))
    }

    /// A call. Arguments follow.
    pub(crate) fn call(&self, keys: &[String]) -> Cmd {
        let mut call = redis::cmd("EVALSHA");
        call.arg(self.script.get_hash()).arg(keys.len()).arg(keys);
        call
    }
}

/// All scripts.
#[derive(Debug)]
pub(crate) struct Scripts {
    pub(crate) append: Script,
    pub(crate) read: Script,
    pub(crate) seal: Script,
    pub(crate) mark: Script,
    pub(crate) keep: Script,
    pub(crate) import: Script,
}

/// What came of several commands.
#[derive(Debug)]
pub(crate) struct Done {
    /// One for each command.
    pub(crate) answers: Vec<Result<Value, Trouble>>,
    /// Whether as many replicas as were wanted have them all.
    pub(crate) confirmed: Result<(), Trouble>,
}

impl Scripts {
    pub(crate) fn new() -> Self {
        Self {
            append: Script::with_places(include_str!("scripts/append.lua")),
            read: Script::with_places(include_str!("scripts/read.lua")),
            seal: Script::with_places(include_str!("scripts/seal.lua")),
            mark: Script::new(include_str!("scripts/mark.lua")),
            keep: Script::new(include_str!("scripts/keep.lua")),
            import: Script::new(include_str!("scripts/import.lua")),
        }
    }

    /// Gives Redis all scripts.
    pub(crate) async fn load(&self, line: &Line) -> Result<(), Trouble> {
        let mut commands = Pipeline::new();
        let all = [&self.append, &self.read, &self.seal, &self.mark, &self.keep, &self.import];
        for script in all {
            commands.cmd("SCRIPT").arg("LOAD").arg(&script.source);
        }
        for answer in line.ask(&commands).await? {
            checked(answer)?;
        }
        Ok(())
    }

    /// Runs commands together and in order, and then, where replicas are wanted, waits for them. An `Err` is about all commands.
    pub(crate) async fn run(
        &self,
        line: &Line,
        commands: Vec<Cmd>,
        replicas: Option<u8>,
    ) -> Result<Done, Trouble> {
        let mut answers: Vec<Result<Value, Trouble>> = Vec::new();
        answers.resize_with(commands.len(), || Err(Trouble::NoScript));
        let mut confirmed = Ok(());
        // The place of each command that has not been done yet.
        let mut left: Vec<(usize, Cmd)> = commands.into_iter().enumerate().collect();
        for load in 0..=LOADS {
            let mut batch = Pipeline::with_capacity(left.len() + 1);
            for (_, command) in &left {
                batch.add_command(command.clone());
            }
            if let Some(replicas) = replicas {
                batch.cmd("WAIT").arg(replicas).arg(REPLICAS_WAIT.as_millis() as u64);
            }
            let asked = match line.ask(&batch).await {
                Err(trouble) if load == 0 => return Err(trouble),
                asked => asked,
            };
            let mut asked = match asked {
                Ok(asked) => asked,
                Err(trouble) => {
                    // What was done in the first round stays done.
                    left.iter().for_each(|(place, _)| answers[*place] = Err(trouble.clone()));
                    break;
                }
            };
            if let Some(replicas) = replicas {
                confirmed = match asked.pop().map(checked) {
                    Some(Ok(Value::Int(took))) => enough_replicas(took, replicas),
                    Some(Err(trouble)) => Err(trouble),
                    _ => Err(Trouble::Lost("WAIT did not answer with a number".into())),
                };
            }
            for ((place, _), answer) in left.iter().zip(asked) {
                answers[*place] = checked(answer);
            }
            left.retain(|(place, _)| answers[*place] == Err(Trouble::NoScript));
            if left.is_empty() || load == LOADS || self.load(line).await.is_err() {
                break;
            }
        }
        Ok(Done { answers, confirmed })
    }

    /// Runs one command that only reads.
    pub(crate) async fn ask(&self, line: &Line, command: Cmd) -> Result<Value, Trouble> {
        let mut done = self.run(line, vec![command], None).await?;
        done.answers.pop().unwrap_or(Err(Trouble::NoScript))
    }
}

/// An answer of a script: a word, and what follows it.
pub(crate) fn answer(value: Value) -> Result<(String, Vec<Value>), Trouble> {
    let strange = || Trouble::Damaged("a script answered strangely".into());
    let Value::Array(mut parts) = value else { return Err(strange()) };
    if parts.is_empty() {
        return Err(strange());
    }
    let word = text(&parts.remove(0)).ok_or_else(strange)?;
    Ok((word, parts))
}

/// A text in an answer.
pub(crate) fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
        Value::SimpleString(text) => Some(text.clone()),
        _ => None,
    }
}

/// A number in an answer.
pub(crate) fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        other => text(other)?.parse().ok(),
    }
}
