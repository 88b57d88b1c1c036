"""What people measured: files of pulses in the forms that they have, and the devices they make."""
