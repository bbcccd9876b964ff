//! Behaviour, one test each, against the public interface: no sleeps, no speeds, nothing outside the
//! repository. The letters are those of the scenario list; `r_` tests keep the rules of the design.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the helpers are test code too"
)]

mod helpers;

mod a_counters;
mod b_redelivery;
mod c_attempts;
mod d_in_flight;
mod e_fetch;
mod f_places;
mod f_start;
mod g_accounts;
mod g_interest;
mod g_work_queue;
mod h_removal;
mod h_streams;
mod h_subjects;
mod i_batches;
mod i_publish;
mod j_lifecycle;
mod k_ownership;
mod l_dead_letters;
mod l_time;
mod o_freed;
mod o_others;
mod r_close;
mod r_crash;
mod r_dead_letters;
mod r_events;
mod r_parked;
mod r_redrive;
mod r_store_size;
mod s_ack_policy;
mod s_alerts;
mod s_batches;
mod s_dedup;
mod s_dedup_release;
mod s_delete_markers;
mod s_departed;
mod s_expectations;
mod s_explain;
mod s_guards;
mod s_lag;
mod s_lanes;
mod s_lanes_waiting;
mod s_last_per_subject;
mod s_precedence;
mod s_presence;
mod s_rate;
mod s_refilter;
mod s_repeating;
mod s_replay;
mod s_reset;
mod s_rollups;
mod s_sampling;
mod s_scheduled;
mod s_skipped;
mod s_ttl;
mod s_updates;
mod t_storm;
mod t_threads;
mod x_otherwise;
