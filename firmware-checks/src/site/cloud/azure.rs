//! Azure's fabric, which a machine tells that it has started: the goal state that names it, and the report of its health.

/// What each question to the fabric must say.
pub(super) const HEADERS: [(&str, &str); 2] = [("x-ms-agent-name", "Firstlight"), ("x-ms-version", "2012-11-30")];

/// The report that the machine which the goal state `goal` speaks of is ready; nothing where that names none.
pub(super) fn report(goal: &str) -> Option<String> {
    let (incarnation, container, instance) =
        (element(goal, "Incarnation")?, element(goal, "ContainerId")?, element(goal, "InstanceId")?);
    Some(format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
         <Health xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\">\
         <GoalStateIncarnation>{incarnation}</GoalStateIncarnation>\
         <Container><ContainerId>{container}</ContainerId>\
         <RoleInstanceList><Role><InstanceId>{instance}</InstanceId>\
         <Health><State>Ready</State></Health></Role></RoleInstanceList></Container></Health>"
    ))
}

/// The text of the first element `name` without attributes, which must be an identifier: nothing in it needs an escape.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    Some(text.trim()).filter(|text| !text.is_empty() && text.chars().all(plain))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// As the fabric gives it, shortened.
    pub const GOAL: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?><GoalState><Version>2012-11-30</Version><Incarnation>1</Incarnation>\
        <Machine><ExpectedState>Started</ExpectedState></Machine><Container><ContainerId>7cbf-11</ContainerId><RoleInstanceList>\
        <RoleInstance><InstanceId>a1.host</InstanceId></RoleInstance></RoleInstanceList></Container></GoalState>";

    #[test]
    fn the_report_names_what_the_goal_state_named() {
        let report = report(GOAL).unwrap();
        assert!(report.contains("<GoalStateIncarnation>1</GoalStateIncarnation>"), "{report}");
        assert!(report.contains("<ContainerId>7cbf-11</ContainerId>"), "{report}");
        assert_eq!(super::report("<GoalState/>"), None);
        assert_eq!(super::report(&GOAL.replace("a1.host", "a&lt;b")), None);
    }
}
