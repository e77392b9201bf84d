//! What tests came to: as TAP, as XML, as events, in words.

use std::fmt::Write as _;
use std::time::Duration;

use imgc_engine::{Failure as NodeFailure, TestOutcome, TestResult};
use imgc_plan::Plan;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use serde_json::json;

use super::text::{duration, visible};
use crate::exit::Failure;

/// What stands behind a test's name.
pub(crate) fn words(result: &TestResult) -> String {
    match result {
        TestResult::Passed { cached: true, .. } => "(cached)".to_owned(),
        TestResult::Passed { cached: false, took } => format!("({})", duration(*took)),
        TestResult::Failed { failure, .. } => format!("failed in {}: {}", failure.address, failure.error),
        TestResult::NotRun { because: Some(address) } => format!("not run: {address} failed"),
        TestResult::NotRun { because: None } => "not run: interrupted".to_owned(),
    }
}

/// One event: see `docs/events.md`.
pub(crate) fn event(outcome: &TestOutcome) -> serde_json::Value {
    let (result, took, cached, error) = match &outcome.result {
        TestResult::Passed { cached, took } => ("passed", Some(*took), *cached, None),
        TestResult::Failed { failure, took } => ("failed", Some(*took), false, Some(failure.error.to_string())),
        TestResult::NotRun { .. } => ("not_run", None, false, Some(words(&outcome.result))),
    };
    json!({
        "format": 1, "event": "test", "address": outcome.address, "result": result, "cached": cached,
        "seconds": took.map(|took| took.as_secs_f64()), "error": error,
    })
}

/// The Test Anything Protocol, version 14 (testanything.org): a plan, a line a test, and YAML below what failed.
pub(crate) fn tap(outcomes: &[TestOutcome]) -> String {
    let mut out = format!("TAP version 14\n1..{}\n", outcomes.len());
    for (index, outcome) in outcomes.iter().enumerate() {
        let ok = matches!(outcome.result, TestResult::Passed { .. });
        // `#` begins a directive, and a backslash protects it.
        let name = visible(&outcome.address.0).replace('\\', "\\\\").replace('#', "\\#");
        let _ = writeln!(out, "{} {} - {name}", if ok { "ok" } else { "not ok" }, index + 1);
        match &outcome.result {
            TestResult::Passed { .. } => {}
            TestResult::Failed { failure, .. } => tap_failure(failure, &mut out),
            TestResult::NotRun { .. } => yaml(&mut out, &[("message", words(&outcome.result))], &[]),
        }
    }
    out
}

fn tap_failure(failure: &NodeFailure, out: &mut String) {
    let mut fields = vec![("message", failure.error.to_string()), ("step", failure.address.0.clone())];
    if let Some(log) = &failure.log {
        fields.push(("log", log.display().to_string()));
    }
    yaml(out, &fields, &failure.last_lines);
}

/// A block of YAML; texts are JSON texts, which YAML's double-quoted texts include.
fn yaml(out: &mut String, fields: &[(&str, String)], lines: &[String]) {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    out.push_str("  ---\n");
    for (name, text) in fields {
        let _ = writeln!(out, "  {name}: {}", quoted(text));
    }
    if !lines.is_empty() {
        out.push_str("  output:\n");
        for line in lines {
            let _ = writeln!(out, "    - {}", quoted(&visible(line)));
        }
    }
    out.push_str("  ...\n");
}

/// `JUnit`'s XML, as CI systems read it: a suite an image.
pub(crate) fn junit(plan: &Plan, outcomes: &[TestOutcome]) -> Result<String, Failure> {
    let mut report = Report::new("imgc");
    for outcome in outcomes {
        let tested = plan.tests.get(outcome.test).map(|test| test.image);
        let image = plan.images.iter().find(|image| Some(image.last) == tested);
        let name = image.map_or("tests", |image| image.address.0.as_str());
        let case = case(outcome);
        if let Some(suite) = report.test_suites.iter_mut().find(|suite| suite.name.as_str() == name) {
            suite.add_test_case(case);
        } else {
            let mut suite = TestSuite::new(name);
            suite.add_test_case(case);
            report.add_test_suite(suite);
        }
    }
    report.to_string().map_err(|error| Failure::internal(format!("the JUnit report cannot be written: {error}")))
}

fn case(outcome: &TestOutcome) -> TestCase {
    let (status, took) = match &outcome.result {
        TestResult::Passed { took, .. } => (TestCaseStatus::success(), *took),
        TestResult::Failed { failure, took } => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status
                .set_message(failure.error.to_string())
                .set_type("step")
                .set_description(failure.last_lines.join("\n"));
            (status, *took)
        }
        TestResult::NotRun { .. } => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_message(words(&outcome.result)).set_type("not run");
            (status, Duration::ZERO)
        }
    };
    let mut case = TestCase::new(outcome.address.0.as_str(), status);
    case.set_time(took);
    case
}
