"""The measured work: functions that build contenders, one module per process."""
