//! System tests of agentd: the daemon driven from outside, against real parts. See `system.rs`.
