"""Lambda and the AWS SDK."""
