//! The net-snmp `pass_persist` agent.
