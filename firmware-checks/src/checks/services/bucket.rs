//! A bucket on a server that speaks S3: asked with the site's access key.

use std::time::Duration;

use rusty_s3::actions::S3Action;
use rusty_s3::{Bucket, Credentials, UrlStyle};
use url::Url;

use crate::check::{Context, CouldNotRun, Finding, Phase};
use crate::checks::server::Answer;
use crate::checks::server::target::{Severity, Target, asker};
use crate::site::S3;

/// What is put into the bucket and removed again.
const PROBE: &str = "firstlight-probe";
/// How long a signature is good.
const GOOD_FOR: Duration = Duration::from_secs(60);

/// What is found of the bucket that the table `table` of site.toml names; `severe` says how a failure counts.
pub(super) fn judge(context: &Context<'_>, s3: &S3, table: &str, severe: Severity) -> Result<Finding, CouldNotRun> {
    // What is no address or no name of a bucket is site.configuration's to tell.
    let wrong = || Finding::not_applicable("the site's address of the bucket is none");
    let Ok(endpoint) = Url::parse(&s3.endpoint) else { return Ok(wrong()) };
    let Ok(bucket) = Bucket::new(endpoint.clone(), UrlStyle::Path, s3.bucket.clone(), s3.region.clone()) else {
        return Ok(wrong());
    };
    let key = Credentials::new(s3.access_key.expose(), s3.secret_key.expose());
    let at = format!("`endpoint` in {table}");
    let target = Target::of_url(context, &endpoint, "a server of S3", &at);
    if let Some(why) = target.comes_with_the_platform(context) {
        return Ok(Finding::not_applicable(why));
    }
    let name = &s3.bucket;
    let required = format!("the bucket {name} on {}, for the access key", target.place());

    let signed = |method: &str| {
        let (key, now) = (Some(&key), &context.now);
        match method {
            "PUT" => bucket.put_object(key, PROBE).sign_with_time(GOOD_FOR, now),
            "DELETE" => bucket.delete_object(key, PROBE).sign_with_time(GOOD_FOR, now),
            _ => bucket.head_bucket(key).sign_with_time(GOOD_FOR, now),
        }
    };
    // Written to only before the platform starts: a running one does that itself.
    let steps: &[(&str, &[u8], &str)] = match context.phase {
        Phase::Admission => &[
            ("HEAD", &[], "be asked for"),
            ("PUT", PROBE.as_bytes(), "be written to"),
            ("DELETE", &[], "have an object removed"),
        ],
        Phase::Acceptance => &[("HEAD", &[], "be asked for")],
    };
    for (method, body, what) in steps {
        let url = signed(method);
        match asker(context, &url)?.request(method, &url, body) {
            Ok(Answer { status: 200..300, .. }) => {}
            Ok(Answer { status, .. }) => {
                let (observed, remedy) = refused(&target, name, table, what, status);
                return Ok(severe(observed, required, remedy));
            }
            Err(obstacle) => {
                let (observed, remedy) = target.words(context, &obstacle);
                return Ok(severe(observed, required, remedy));
            }
        }
    }
    let done = if steps.len() > 1 { ", takes an object and lets it be removed" } else { "" };
    Ok(Finding::pass(format!("the bucket {name} on {} is there{done}", target.place()), required))
}

/// What the server's refusal means, and what to do.
fn refused(target: &Target<'_>, bucket: &str, table: &str, what: &str, status: u16) -> (String, String) {
    let place = target.place();
    let imported = "then sudo firmware-checks site import FOLDER";
    match status {
        404 => (
            format!("{place} has no bucket {bucket}"),
            format!("make it there, or correct `bucket` in {table} of site.toml, {imported}"),
        ),
        301 | 307 => (
            format!("{place} has the bucket {bucket} in another region (status {status})"),
            format!("correct `region` and `endpoint` in {table} of site.toml, {imported}"),
        ),
        401 | 403 => (
            format!("{place} does not let the bucket {bucket} {what} by this access key (status {status})"),
            format!(
                "give the key the rights to list, read, write and remove in the bucket, or correct `access_key` and `secret_key` in \
                 {table} of site.toml, {imported}; a clock that is wrong by minutes is refused, too"
            ),
        ),
        _ => (
            format!("{place} does not let the bucket {bucket} {what}: status {status}"),
            format!("look at the log of what answers there, or correct {table} of site.toml, {imported}"),
        ),
    }
}
