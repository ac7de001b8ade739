//! The effect of each option: the list of the tests that show it.

use std::collections::BTreeSet;

use super::options;

/// An option, and the test that shows its effect: its file in this folder, and its name.
const EFFECTS: &[(&str, &str, &str)] = &[
    ("config", "signals.rs", "sighup_takes_over_what_can_change_and_says_what_cannot"),
    ("lan", "sign_in/lan.rs", "a_hub_on_the_network_is_set_up_by_its_link"),
    ("listen", "bad_configuration.rs", "ports_and_files_that_cannot_be_had"),
    ("data-dir", "one_hub.rs", "a_second_hub_on_one_folder_is_refused"),
    ("database", "options/place.rs", "data_lie_in_the_configured_folder"),
    ("mqtt", "options/broker.rs", "a_broker_that_runs_elsewhere"),
    ("mqtt-listen", "bad_configuration.rs", "ports_and_files_that_cannot_be_had"),
    ("tls", "tls/certificates.rs", "options_say_which_certificate_is_shown_and_where"),
    ("tls-cert", "tls/certificates.rs", "options_say_which_certificate_is_shown_and_where"),
    ("tls-key", "tls/certificates.rs", "options_say_which_certificate_is_shown_and_where"),
    ("tls-client-ca", "tls/device_certificates.rs", "a_device_comes_by_a_certificate_of_an_authority"),
    ("mqtt-tls-listen", "tls/certificates.rs", "options_say_which_certificate_is_shown_and_where"),
    ("mqtt-connections", "broker_state.rs", "health_says_that_the_broker_is_full"),
    ("mqtt-payload-limit", "options/broker.rs", "the_largest_payload"),
    ("mqtt-retained-limit", "options/broker.rs", "the_largest_retained_message"),
    ("mqtt-retained-total", "options/broker.rs", "all_retained_messages"),
    ("mqtt-sessions", "options/broker.rs", "how_many_sessions"),
    ("mqtt-session-messages", "broker_state.rs", "messages_that_full_sessions_drop_are_counted"),
    ("mqtt-session-limit", "options/broker.rs", "what_an_absent_client_may_have_waiting"),
    ("mqtt-sessions-total", "options/broker.rs", "what_all_absent_clients_may_have_waiting"),
    ("sensor-data-topic", "iamis/mqtt.rs", "the_topic_and_the_device_are_set_by_options"),
    ("sensor-data-device", "iamis/mqtt.rs", "the_topic_and_the_device_are_set_by_options"),
    ("devices", "device_passwords.rs", "clients_without_a_password_are_treated_by_the_option"),
    ("mosquitto-files", "mosquitto_files.rs", "devices_come_in_by_their_tokens_and_speak_as_themselves"),
    ("mosquitto-pid-file", "mosquitto_files.rs", "devices_come_in_by_their_tokens_and_speak_as_themselves"),
    (
        "unknown-devices",
        "dispositivos.rs",
        "a_device_that_is_registered_under_another_id_is_found_by_its_serial_number",
    ),
    ("device-clock-ahead", "options/keeping.rs", "times_of_devices_are_believed_within_a_window"),
    ("device-clock-behind", "options/keeping.rs", "times_of_devices_are_believed_within_a_window"),
    ("rules", "automation/webhooks_and_topics.rs", "a_webhook_comes_in"),
    ("cors", "who_may_ask.rs", "pages_that_are_let_in_may_do_what_the_api_does_and_no_more"),
    ("hosts", "who_may_ask.rs", "a_hub_is_asked_by_address_by_its_names_and_by_those_that_were_listed"),
    ("trusted-proxies", "limits.rs", "a_trusted_proxy_names_its_clients"),
    ("rate-limit", "limits.rs", "a_caller_that_sends_too_much_is_told_to_wait"),
    ("http-connections", "crowded.rs", "live_sessions_leave_room_for_requests"),
    ("log", "options/place.rs", "the_log_has_the_configured_level"),
    ("log-format", "options/place.rs", "the_log_is_text_or_json"),
    ("slow-log", "options/keeping.rs", "slow_messages_are_logged_from_the_configured_time_on"),
    ("body-limit", "options/place.rs", "the_largest_body"),
    ("key-file", "options/place.rs", "data_lie_in_the_configured_folder"),
    ("firmware-limit", "firmware/images.rs", "a_broken_upload_leaves_nothing_behind"),
    ("public-url", "firmware/images.rs", "images_that_lie_elsewhere_are_listed_by_model_and_version"),
    ("import-limit", "import/lines.rs", "what_breaks_off_keeps_what_was_done"),
    ("idle-after", "options/keeping.rs", "idle_twins_leave_memory"),
    ("first-silence", "options/keeping.rs", "a_device_that_spoke_once_is_offline_after_a_silence"),
    ("retention", "options/keeping.rs", "old_events_go"),
    ("keep-readings", "options/keeping.rs", "old_readings_go"),
    ("keep-runs", "options/keeping.rs", "old_runs_go"),
    ("keep-commands", "options/keeping.rs", "what_is_over_goes_and_what_goes_on_stays"),
    ("keep-alarms", "options/keeping.rs", "what_is_over_goes_and_what_goes_on_stays"),
    ("keep-events", "options/keeping.rs", "what_is_over_goes_and_what_goes_on_stays"),
    ("audit-retention", "audit.rs", "old_entries_go"),
    ("backup-every", "backup.rs", "the_hub_writes_backups_by_itself_and_keeps_the_newest"),
    ("backup-dir", "backup.rs", "the_hub_writes_backups_by_itself_and_keeps_the_newest"),
    ("backup-keep", "backup.rs", "the_hub_writes_backups_by_itself_and_keeps_the_newest"),
    ("rule-secrets", "secrets.rs", "a_rule_may_not_sign_with_any_variable"),
    ("webhook-allow", "secrets.rs", "webhooks_do_not_reach_this_machine_or_the_hub_itself"),
    ("webhook-private-redirects", "options/place.rs", "webhooks_are_redirected_inward_where_that_is_allowed"),
    ("registration", "sign_in/people.rs", "whoever_asks_makes_an_account_where_that_is_allowed"),
    ("dialect-access", "dialect_access.rs", "a_dialect_with_access_lets_callers_in_without_a_credential"),
    ("weather-key", "cloud_backend/weather.rs", "the_services_word_counts_and_is_kept"),
    ("weather-city", "cloud_backend/weather.rs", "without_a_key_the_weather_is_made_up_and_says_so"),
    ("weather-url", "cloud_backend/weather.rs", "the_services_word_counts_and_is_kept"),
    ("oidc-issuer", "single_sign_on.rs", "providers_differ_in_what_they_tell_and_how"),
    ("oidc-client-id", "single_sign_on.rs", "providers_differ_in_what_they_tell_and_how"),
    ("oidc-client-secret", "single_sign_on.rs", "a_secret_that_is_given_counts_rather_than_one_in_a_file"),
    ("oidc-client-secret-file", "single_sign_on.rs", "providers_differ_in_what_they_tell_and_how"),
    ("oidc-scopes", "single_sign_on.rs", "providers_differ_in_what_they_tell_and_how"),
    ("oidc-groups-claim", "single_sign_on.rs", "providers_differ_in_what_they_tell_and_how"),
    ("oidc-roles", "single_sign_on.rs", "providers_differ_in_what_they_tell_and_how"),
    ("oidc-name", "single_sign_on.rs", "who_the_provider_knows_has_the_role_of_their_groups_at_each_sign_in"),
    ("open", "sign_in/first_start.rs", "an_open_hub_lets_this_machine_in_also_when_there_are_users"),
    ("open-to-network", "options/place.rs", "other_machines_are_served_where_that_is_allowed"),
];

#[test]
fn every_option_has_a_test_of_its_effect() {
    let listed: BTreeSet<String> = EFFECTS.iter().map(|(name, ..)| (*name).to_owned()).collect();
    assert_eq!(listed, options().into_keys().collect::<BTreeSet<_>>());
    for (name, file, test) in EFFECTS {
        let path = format!("{}/tests/it/{file}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let body = text.split_once(&format!("async fn {test}() {{\n"));
        let (_, body) = body.unwrap_or_else(|| panic!("{file} has no test {test}"));
        let body = body.split_once("\n}\n").map_or(body, |(body, _)| body);
        assert!(body.contains(&format!("--{name}\"")), "{test} in {file} says no --{name}");
    }
}
