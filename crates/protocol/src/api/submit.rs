//! What a user asks of jobs.

use serde::{Deserialize, Serialize};

use crate::Submission;

/// `POST /jobs` as JSON. As `multipart/form-data` the part `job` holds this without `files`, and
/// each part `file` is a file with its relative path as the file name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub struct Submit {
    /// What is asked for.
    pub submission: Submission,
    /// Which of the files is the program.
    pub app: String,
    /// The program, its modules and data.
    pub files: Vec<SubmitFile>,
    /// Native libraries the job uses, by name; the controller ships the build that fits each
    /// splayd.
    pub native: Vec<String>,
}

/// A file of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubmitFile {
    /// Relative path in the job's folder; no `..`, no leading `/`.
    pub path: String,
    /// Its bytes, in base64.
    pub base64: String,
}

/// Answer to `POST /jobs` and `POST /jobs/ID/resubmit`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submitted {
    /// Identifier of the job.
    pub id: String,
    /// What all its randomness follows from. Text, since JSON readers lose digits of numbers
    /// beyond 2^53.
    pub seed: String,
}

/// `POST /jobs/ID/kill`; the body may be left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub struct Kill {
    /// Becomes part of the job's `why`.
    pub reason: String,
    /// Seconds for `job.on_stop` hooks, 0 to 3600, instead of the job's own `grace_time`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace_time: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_submission_may_be_short_and_never_misspelt() {
        let text = r#"{"app":"a.lua","files":[{"path":"a.lua","base64":""}],"submission":{"instances":3}}"#;
        assert_eq!(serde_json::from_str::<Submit>(text).unwrap().submission.instances, 3);
        let error = serde_json::from_str::<Submit>(r#"{"submission":{"instance":3}}"#).unwrap_err();
        assert!(error.to_string().contains("unknown field `instance`"), "{error}");
    }
}
