package admission

// TryLock reports whether the Limiter was not locked.
func (l *Limiter) TryLock() bool {
	if !l.mu.TryLock() {
		return false
	}
	l.mu.Unlock()
	return true
}
