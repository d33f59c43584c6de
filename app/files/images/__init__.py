"""Pictures that strangers sent: decoded apart, made smaller, masked."""
