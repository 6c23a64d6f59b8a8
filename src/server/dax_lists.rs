//! Where the lists of attribute names of DAX clients are kept.

use std::path::PathBuf;
use std::sync::Arc;

use super::StartError;
use crate::config::{Fixed, LocalStore, UpstreamKind};
use crate::dax::attribute_lists::{AttributeLists, Limits};

/// The file beside the local backend's data.
const FILE: &str = "dax-lists";

/// Opens the table of lists, from its file if it has one. The directory of the local backend must be there.
///
/// # Errors
/// [`StartError`], for a file that cannot be used.
pub(super) async fn open(fixed: &Fixed) -> Result<Arc<AttributeLists>, StartError> {
    let Some(path) = file_of(fixed) else {
        if fixed.dax.is_on() && fixed.upstream != UpstreamKind::Local {
            tracing::warn!(
                "Attribute lists of DAX clients are kept in memory: after a restart, clients may write items under ids that this node \
                 does not know until they define them again. Set dax.state to a file."
            );
        }
        return Ok(Arc::new(AttributeLists::in_memory(Limits::default())));
    };
    let shown = path.display().to_string();
    let opened = tokio::task::spawn_blocking(move || AttributeLists::open(&path, Limits::default())).await;
    let opened = opened
        .map_err(|panic| panic.to_string())
        .and_then(|opened| opened.map_err(|error| error.to_string()));
    let lists = opened.map_err(|error| {
        StartError(format!("the attribute lists of DAX clients cannot be kept in {shown}: {error}; choose another file with dax.state"))
    })?;
    if lists.lost_bytes() > 0 {
        tracing::warn!(
            bytes = lists.lost_bytes(),
            "The end of the file of attribute lists was not whole, and is dropped. No client knows what it was to hold."
        );
    }
    if lists.damaged_bytes() > 0 {
        tracing::error!(
            bytes = lists.damaged_bytes(),
            "The file of attribute lists is damaged, and what is damaged is passed over. Writes of clients that know a list from there fail \
             until the list is defined again, by their restart or by another client."
        );
    }
    Ok(Arc::new(lists))
}

/// The file: as configured, or beside the tables. Tables that are forgotten at the end need no lists that are kept.
fn file_of(fixed: &Fixed) -> Option<PathBuf> {
    if !fixed.dax.is_on() {
        return None;
    }
    let beside_the_data = || match (&fixed.upstream, &fixed.store) {
        (UpstreamKind::Local, LocalStore::Directory(directory)) => Some(directory.join(FILE)),
        (UpstreamKind::Local, LocalStore::Memory) => None,
        (UpstreamKind::Aws | UpstreamKind::Endpoint(_), _) => None,
    };
    fixed.dax.state.clone().or_else(beside_the_data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn file(text: &str) -> Option<PathBuf> {
        file_of(&Config::parse(text).unwrap_or_else(|error| panic!("{error}")).fixed)
    }

    #[test]
    fn lists_are_kept_where_tables_are() {
        assert_eq!(file(""), None, "nobody asks for lists");
        let on = "[dax]\nlisten = \"127.0.0.1:8111\"\n";
        assert_eq!(file(on), Some("./nearside-data/dax-lists".into()));
        assert_eq!(file(&format!("{on}[local]\nin_memory = true\n")), None);
        let remote = "[upstream]\nendpoint = \"http://127.0.0.1:9\"\n";
        assert_eq!(file(&format!("{on}{remote}")), None);
        assert_eq!(file(&format!("{on}state = \"/var/lib/lists\"\n{remote}")), Some("/var/lib/lists".into()));
    }
}
