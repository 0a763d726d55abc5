"""What is measured: functions that build a contender's work, one module for each process."""
