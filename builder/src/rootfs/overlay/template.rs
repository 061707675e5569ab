//! Templates in handlebars' strict mode: what is not defined is an error, not an empty string.

use std::path::Path;

use handlebars::{
    Context, Handlebars, Helper, HelperDef, HelperResult, JsonTruthy, Output, RenderContext, RenderErrorReason,
    Renderable, no_escape,
};
use serde::Serialize;

use super::Error;

/// `if` and `unless`, which handlebars leaves lenient in its strict mode: what is not defined would count as false, and
/// a mistyped name would quietly leave a part out.
struct StrictIf {
    renders_on: bool,
}

impl HelperDef for StrictIf {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        engine: &'reg Handlebars<'reg>,
        context: &'rc Context,
        state: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let condition = helper.param(0).ok_or(RenderErrorReason::ParamNotFoundForIndex("if", 0))?;
        if condition.is_value_missing() {
            return Err(RenderErrorReason::MissingVariable(condition.relative_path().cloned()).into());
        }
        let holds = condition.value().is_truthy(false) == self.renders_on;
        let part = if holds { helper.template() } else { helper.inverse() };
        part.map_or(Ok(()), |part| part.render(engine, context, state, out))
    }
}

/// Fills `values` into the template `text` of the file `path`.
pub(super) fn fill_in(path: &Path, text: &[u8], values: &impl Serialize) -> Result<Vec<u8>, Error> {
    let invalid = |line: Option<usize>, column: Option<usize>, reason: String| Error::Invalid {
        path: path.to_owned(),
        line: line.unwrap_or(1),
        column: column.unwrap_or(1),
        reason,
    };
    let text =
        str::from_utf8(text).map_err(|error| invalid(None, None, format!("the template is not UTF-8: {error}")))?;
    let mut engine = Handlebars::new();
    engine.set_strict_mode(true);
    engine.register_escape_fn(no_escape);
    engine.register_helper("if", Box::new(StrictIf { renders_on: true }));
    engine.register_helper("unless", Box::new(StrictIf { renders_on: false }));
    engine.register_template_string("template", text).map_err(|error| {
        let (line, column) = error.pos().unwrap_or((1, 1));
        invalid(Some(line), Some(column), format!("this is not a handlebars template: {}", error.reason()))
    })?;
    engine.render("template", values).map(String::into_bytes).map_err(|error| {
        let reason = match error.reason() {
            RenderErrorReason::MissingVariable(Some(name)) => format!(
                "`{name}` is not defined\n  hint: a recipe's own values stand below `[vars]` and are written `{{{{vars.NAME}}}}`"
            ),
            reason => reason.to_string(),
        };
        invalid(error.line_no, error.column_no, reason)
    })
}
