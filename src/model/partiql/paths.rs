//! Document paths as PartiQL writes them.

use super::syntax::{Node, NodeKind, PathStep};
use crate::model::ApiError;
use crate::model::expr::compose::check_path_depth;
use crate::model::expr::{Path, Step};

/// The path that an expression is.
///
/// # Errors
/// The service's own for what is none.
pub(super) fn path_of(node: &Node) -> Result<Path, ApiError> {
    let path = match &node.kind {
        NodeKind::Name(name) => Path { root: checked(name)?, steps: Vec::new() },
        NodeKind::Path { root, steps } => {
            let NodeKind::Name(name) = &root.kind else { return Err(unexpected(root)) };
            let steps = steps.iter().map(step).collect::<Result<_, _>>()?;
            Path { root: checked(name)?, steps }
        }
        _ => return Err(unexpected(node)),
    };
    check_path_depth(&path).map_err(ApiError::validation)?;
    Ok(path)
}

/// Refuses a part of a name that says nothing.
///
/// # Errors
/// The service's own for an empty name.
pub(super) fn checked(name: &str) -> Result<String, ApiError> {
    match name {
        "" => Err(ApiError::validation("Path component cannot be an empty string")),
        name => Ok(name.to_owned()),
    }
}

fn step(step: &PathStep) -> Result<Step, ApiError> {
    match step {
        PathStep::Member(name) => Ok(Step::Member(checked(name)?)),
        PathStep::Unpivot => {
            Err(ApiError::validation("Changing item's hierarchy while reading isn't supported"))
        }
        PathStep::Bracket(node) => match &node.kind {
            NodeKind::Text(name) | NodeKind::Name(name) => Ok(Step::Member(checked(name)?)),
            NodeKind::Number(text) => index(text, node),
            _ => Err(unexpected(node)),
        },
    }
}

fn index(text: &str, node: &Node) -> Result<Step, ApiError> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.bytes().any(|byte| !byte.is_ascii_digit()) {
        return Err(unexpected(node));
    }
    match text.parse::<i32>().ok().and_then(|index| usize::try_from(index).ok()) {
        Some(index) => Ok(Step::Element(index)),
        None => Err(ApiError::validation(format!(
            "List index is not within the allowable range; index: [{text}] at {}",
            node.span
        ))),
    }
}

fn unexpected(node: &Node) -> ApiError {
    ApiError::validation(format!("Unexpected path component at {}", node.span))
}

/// The name of the column that a path gives.
pub(super) fn column_name(path: &Path) -> String {
    let mut name = path.root.clone();
    for step in &path.steps {
        match step {
            Step::Member(member) => name.clone_from(member),
            Step::Element(index) => name.push_str(&format!("[{index}]")),
        }
    }
    name
}
