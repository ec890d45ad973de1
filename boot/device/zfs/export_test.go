package zfs

// SetBudget sets how many bytes of metadata may still be read.
func (p *Pool) SetBudget(n int64) { p.budget.Store(n) }
