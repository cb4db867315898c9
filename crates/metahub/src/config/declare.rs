//! Declares settings: from one declaration, [`settings`] makes the keys of the file, their
//! environment variables, their defaults, the JSON Schema and their documentation.

use std::ffi::OsString;

use serde::de::DeserializeOwned;

use super::environment::{Environment, text};
use super::settings::Config;
use super::yaml::{ConfigError, parse};

/// A key of the configuration file, as it was declared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Declared {
    /// Its own name, without those of the keys around it.
    pub(crate) key: &'static str,
    /// What stands in the file for its default; nothing if it has none.
    pub(crate) default: &'static str,
    /// What it means, in Markdown. The first paragraph stands in the example file, too.
    #[allow(dead_code, reason = "the pages are made of it, by a test")]
    pub(crate) text: &'static str,
    /// The keys within it.
    pub(crate) within: fn() -> Vec<Declared>,
}

/// One value of a setting, from the file or from an environment variable.
pub(super) trait Setting: DeserializeOwned {
    /// Reads a variable, whose text is by default what would stand in the file. An error says
    /// what was expected.
    fn from_variable(value: OsString) -> Result<Self, String> {
        parse(&text(value)?).map_err(|problem| problem.message)
    }
}

/// What stands at a key: the value of a setting, or further keys.
pub(super) trait Field: Default {
    /// What is applied to the configuration.
    type Value;

    /// Reads the variable `METAHUB_NAME`, or those of the keys within.
    fn from_environment(environment: Environment<'_>, name: &str) -> Result<Self, ConfigError>;

    /// The declared default.
    fn of_default(text: &str) -> Result<Self, ConfigError>;

    /// This one where it says something, else `under`.
    fn over(self, under: Self) -> Self;

    /// Has `set` put into the configuration what is said here.
    fn apply(self, config: &mut Config, set: fn(&mut Config, Self::Value));

    /// The keys within.
    fn within() -> Vec<Declared>;
}

impl<T: Setting> Field for Option<T> {
    type Value = T;

    fn from_environment(environment: Environment<'_>, name: &str) -> Result<Self, ConfigError> {
        let value = environment(name).filter(|value| !value.is_empty());
        let value = value.map(T::from_variable).transpose();
        value.map_err(|message| ConfigError::Variable {
            variable: name.to_owned(),
            message,
        })
    }

    fn of_default(text: &str) -> Result<Self, ConfigError> {
        if text.is_empty() {
            return Ok(None);
        }
        parse(text).map_err(|problem| ConfigError::Default {
            text: text.to_owned(),
            message: problem.message,
        })
    }

    fn over(self, under: Self) -> Self {
        self.or(under)
    }

    fn apply(self, config: &mut Config, set: fn(&mut Config, T)) {
        if let Some(value) = self {
            set(config, value);
        }
    }

    fn within() -> Vec<Declared> {
        Vec::new()
    }
}

/// Keys that belong together: those of the file, or of one of its mappings.
pub(super) trait Keys: Sized {
    /// The settings that variables give, whose names begin with `prefix`.
    fn read(environment: Environment<'_>, prefix: &str) -> Result<Self, ConfigError>;

    /// The declared defaults.
    fn defaults() -> Result<Self, ConfigError>;

    /// These where they say something, else those of `under`.
    fn over(self, under: Self) -> Self;

    /// Puts what is said here into the configuration.
    fn apply_to(self, config: &mut Config);

    /// The keys, in the order of the example file.
    fn declared() -> Vec<Declared>;
}

/// Declares keys that belong together: documentation, name, type, default as it stands in the
/// file, and what a value sets.
macro_rules! settings {
    (
        $(#[doc = $about:literal])+
        $name:ident {
            $(
                $(#[doc = $text:literal])+
                $(#[schemars($($schema:tt)+)])?
                $key:ident: $type:ty = $default:literal => $set:expr;
            )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, Default, serde::Deserialize, schemars::JsonSchema)]
        #[serde(default, deny_unknown_fields)]
        pub(crate) struct $name {
            $(
                $(#[doc = $text])+
                $(#[schemars($($schema)+)])?
                pub(crate) $key: $type,
            )+
        }

        impl $crate::config::declare::Keys for $name {
            fn read(environment: Environment<'_>, prefix: &str) -> Result<Self, ConfigError> {
                let name = |key: &str| format!("{prefix}_{}", key.to_uppercase());
                Ok(Self {
                    $($key: Field::from_environment(environment, &name(stringify!($key)))?,)+
                })
            }

            fn defaults() -> Result<Self, ConfigError> {
                Ok(Self { $($key: Field::of_default($default)?,)+ })
            }

            fn over(self, under: Self) -> Self {
                Self { $($key: Field::over(self.$key, under.$key),)+ }
            }

            fn apply_to(self, config: &mut Config) {
                $(Field::apply(self.$key, config, $set);)+
            }

            fn declared() -> Vec<Declared> {
                vec![$(Declared {
                    key: stringify!($key),
                    default: $default,
                    text: concat!($($text, "\n"),+),
                    within: <$type as Field>::within,
                },)+]
            }
        }

        impl Field for $name {
            type Value = Self;

            fn from_environment(
                environment: Environment<'_>,
                name: &str,
            ) -> Result<Self, ConfigError> {
                Keys::read(environment, name)
            }

            fn of_default(_: &str) -> Result<Self, ConfigError> {
                Keys::defaults()
            }

            fn over(self, under: Self) -> Self {
                Keys::over(self, under)
            }

            fn apply(self, config: &mut Config, set: fn(&mut Config, Self)) {
                set(config, self);
            }

            fn within() -> Vec<Declared> {
                Self::declared()
            }
        }
    };
}

pub(super) use settings;
