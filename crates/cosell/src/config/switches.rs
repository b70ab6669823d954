//! `[switches]`: the temperament, the validation profile, and the switches of the contract (section 15).

use exchange::Policy;
use referral::{ApiMode, RequestOptions};
use serde::Deserialize;
use server::ServerOptions;

use crate::options::{OnOff, Profile, SwitchOptions};

/// `[switches]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Switches {
    pub temperament: ApiMode,
    pub profile: Profile,
    pub tolerant_json: bool,
    pub ignore_links: bool,
    pub object_patch: bool,
    pub reject_unknown: bool,
    pub app_only: bool,
    pub global_admin_counts: bool,
    pub marketplace_leads: bool,
    pub misspelt_context: bool,
}

impl Switches {
    /// The defaults of the contract, in this mode.
    pub fn defaults(temperament: ApiMode) -> Switches {
        Switches {
            temperament,
            profile: Profile::Wire,
            tolerant_json: true,
            ignore_links: false,
            object_patch: false,
            reject_unknown: false,
            app_only: false,
            global_admin_counts: true,
            marketplace_leads: false,
            misspelt_context: false,
        }
    }

    /// What the command line says instead.
    pub fn merge_from(&mut self, options: &SwitchOptions) {
        if options.strict {
            self.temperament = ApiMode::Strict;
        }
        if options.extended {
            self.temperament = ApiMode::Extended;
        }
        self.profile = options.profile.unwrap_or(self.profile);
        for (setting, option) in [
            (&mut self.tolerant_json, options.tolerant_json),
            (&mut self.ignore_links, options.ignore_links),
            (&mut self.object_patch, options.object_patch),
            (&mut self.reject_unknown, options.reject_unknown),
            (&mut self.app_only, options.app_only),
            (&mut self.global_admin_counts, options.global_admin_counts),
            (&mut self.marketplace_leads, options.marketplace_leads),
            (&mut self.misspelt_context, options.misspelt_context),
        ] {
            *setting = option.map_or(*setting, OnOff::is_on);
        }
    }

    /// What the exchange is told.
    pub fn policy(&self) -> Policy {
        Policy {
            request_options: RequestOptions {
                reject_unknown: self.reject_unknown,
                ignore_links: self.ignore_links,
                mode: self.temperament,
                profile: match self.profile {
                    Profile::Wire => referral::ValidationProfile::Wire,
                    Profile::Program => referral::ValidationProfile::Program,
                },
            },
            global_admin_counts: self.global_admin_counts,
            app_only: self.app_only,
            offer_leads: self.marketplace_leads,
        }
    }

    /// Tells the server.
    pub fn apply(&self, options: &mut ServerOptions) {
        options.mode = self.temperament;
        options.tolerant_json = self.tolerant_json;
        options.object_patch = self.object_patch;
        options.misspelt_context = self.misspelt_context;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contracts_defaults_are_those_of_the_default_file() {
        let config = crate::config::Config::load(None, std::iter::empty()).unwrap();
        assert_eq!(config.switches, Switches::defaults(ApiMode::Extended));
    }

    #[test]
    fn every_switch_of_the_command_line_reaches_its_place() {
        let mut switches = Switches::defaults(ApiMode::Extended);
        switches.merge_from(&SwitchOptions {
            strict: true,
            extended: false,
            profile: Some(Profile::Program),
            tolerant_json: Some(OnOff::Off),
            ignore_links: Some(OnOff::On),
            object_patch: Some(OnOff::On),
            reject_unknown: Some(OnOff::On),
            app_only: Some(OnOff::On),
            global_admin_counts: Some(OnOff::Off),
            marketplace_leads: Some(OnOff::On),
            misspelt_context: Some(OnOff::On),
        });
        let policy = switches.policy();
        assert_eq!(policy.request_options.profile, referral::ValidationProfile::Program);
        assert!(policy.request_options.reject_unknown && policy.request_options.ignore_links);
        assert!(!policy.request_options.mode.is_extended() && !policy.global_admin_counts);
        assert!(policy.app_only && policy.offer_leads);
        let mut options = ServerOptions::new("http://a");
        switches.apply(&mut options);
        assert!(
            !options.mode.is_extended()
                && !options.tolerant_json
                && options.object_patch
                && options.misspelt_context
        );
    }
}
