//! The profile of the AWS tools that `AWS_PROFILE` names, or `default`: that it exists, and its region. Its credentials are
//! the SDK's to find.

use std::path::PathBuf;

/// A profile in the files of the AWS tools.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// The region that it names.
    pub region: Option<String>,
    /// Whether a file has it.
    pub exists: bool,
}

/// A file with profiles, and how its sections name them.
struct ProfileFile {
    path: PathBuf,
    /// In the config file a section is `[profile NAME]`, in the other one `[NAME]`; `[default]` in both.
    prefix: Option<&'static str>,
}

impl Profile {
    /// The profile in use. One that nobody named is an empty one where it does not exist. `variable` reads an environment
    /// variable.
    ///
    /// # Errors
    /// Words that name the profile and the files, when `AWS_PROFILE` names one that is in neither.
    pub fn selected(variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let filled = |name: &str| variable(name).filter(|value| !value.is_empty());
        let named = filled("AWS_PROFILE");
        let name = named.as_deref().unwrap_or("default");
        let in_home = |file: &str| filled("HOME").map(|home| PathBuf::from(home).join(".aws").join(file));
        let path = |name: &str, file: &str| filled(name).map(PathBuf::from).or_else(|| in_home(file));
        let files = [
            (path("AWS_SHARED_CREDENTIALS_FILE", "credentials"), None),
            (path("AWS_CONFIG_FILE", "config"), Some("profile")),
        ];
        let files = files.into_iter().filter_map(|(path, prefix)| Some(ProfileFile { path: path?, prefix }));
        let files: Vec<ProfileFile> = files.collect();
        let found: Vec<Self> = files.iter().filter_map(|file| file.profile(name)).collect();
        if found.is_empty()
            && let Some(named) = &named
        {
            let paths: Vec<_> = files.iter().map(|file| file.path.display().to_string()).collect();
            let places = if paths.is_empty() { "any file".to_owned() } else { paths.join(" or ") };
            return Err(format!("AWS_PROFILE names the profile {named:?}, which is not in {places}"));
        }
        let exists = !found.is_empty();
        Ok(Self { region: found.into_iter().find_map(|profile| profile.region), exists })
    }
}

impl ProfileFile {
    /// The profile of that name, if the file can be read and has it.
    fn profile(&self, name: &str) -> Option<Profile> {
        let text = std::fs::read_to_string(&self.path).ok()?;
        let mut found: Option<Profile> = None;
        let mut is_inside = false;
        for line in text.lines() {
            if let Some(section) = line.trim_start().strip_prefix('[').and_then(|rest| rest.split_once(']')) {
                is_inside = self.is_named(section.0, name);
                if is_inside {
                    found.get_or_insert_default();
                }
            } else if let (true, Some(profile), Some(region)) = (is_inside, &mut found, region_of(line)) {
                profile.region = Some(region.to_owned());
            }
        }
        found
    }

    fn is_named(&self, section: &str, name: &str) -> bool {
        let section = section.trim();
        let rest = match self.prefix {
            Some(prefix) if section != "default" => match section.strip_prefix(prefix) {
                Some(rest) if rest.starts_with([' ', '\t']) => rest.trim_start(),
                Some(_) | None => return false,
            },
            Some(_) | None => section,
        };
        rest.trim_matches(['"', '\'']) == name
    }
}

/// The region that a line of a profile sets. A line that is indented belongs to the key above it.
fn region_of(line: &str) -> Option<&str> {
    let (key, value) = line.split_once('=')?;
    let value = value.split([' ', '\t']).find(|word| !word.is_empty())?;
    (key.trim_end().eq_ignore_ascii_case("region") && !value.starts_with(['#', ';'])).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The profile in use with these files in the home directory, and `AWS_PROFILE`.
    fn selected(config: &str, credentials: &str, named: Option<&str>) -> Result<Profile, String> {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".aws")).unwrap();
        std::fs::write(home.path().join(".aws/config"), config).unwrap();
        std::fs::write(home.path().join(".aws/credentials"), credentials).unwrap();
        Profile::selected(|name| match name {
            "HOME" => Some(home.path().to_str().unwrap().to_owned()),
            "AWS_PROFILE" => named.map(str::to_owned),
            _ => None,
        })
    }

    fn region(config: &str, named: Option<&str>) -> Option<String> {
        selected(config, "", named).unwrap().region
    }

    #[test]
    fn the_region_is_the_named_profiles_own() {
        let config = "[default]\nregion = eu-west-1\n[profile other]\noutput=json\nREGION=eu-north-1 # cold\n\
            [profile \"a b\"]\ns3 =\n  region = us-east-2\n[profile sso] ; none\n";
        assert_eq!(region(config, None).as_deref(), Some("eu-west-1"));
        assert_eq!(region(config, Some("other")).as_deref(), Some("eu-north-1"));
        assert_eq!(region(config, Some("a b")), None);
        assert_eq!(region(config, Some("sso")), None);
        assert_eq!(region("", None), None);
        let both = selected("[profile x]\nregion=a\n", "[x]\nregion=b\n", Some("x")).unwrap();
        assert_eq!(both.region.as_deref(), Some("b"));
    }

    #[test]
    fn a_profile_that_is_nowhere_is_named_with_the_files() {
        let error = selected("[profile one]\n[two]\n", "[three]\n", Some("two")).unwrap_err();
        assert!(error.contains("\"two\"") && error.contains("/.aws/config"), "{error}");
        assert!(selected("[profile one]\n", "[three]\n", Some("three")).is_ok());
        let error = Profile::selected(|name| (name == "AWS_PROFILE").then(|| "x".to_owned())).unwrap_err();
        assert!(error.contains("\"x\""), "{error}");
    }
}
