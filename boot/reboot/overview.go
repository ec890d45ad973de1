package reboot

import (
	"cmp"
	"context"
	"fmt"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/choice"
	"github.com/alpboot/alpboot/boot/doctor"
	"github.com/alpboot/alpboot/boot/lasttime"
)

// Overview prints what starts this machine now and next, what is known of the last
// start, and what a reboot will do, as [System.Status]. It changes nothing.
func (s *System) Overview(ctx context.Context) error {
	b := s.bootMenu(ctx)
	defer b.close()
	m, err := s.examined(ctx, b)
	if err != nil {
		return err
	}
	state, err := b.store.Load()
	if err != nil {
		return err
	}
	row := func(name, format string, args ...any) { s.say("%-9s %s", name, fmt.Sprintf(format, args...)) }
	starts := doctor.WhatStarts(m)
	row("firmware", "%s", starts.Firmware)
	row("alpboot", "%s", starts.Menu)
	if starts.Newer != "" {
		row("update", "alpboot update installs %s", starts.Newer)
	}
	c := menuChoice(b.inv, m.Wants)
	row("default", "%s", describeChoice(b.inv, c))
	for _, note := range c.Notes {
		row("", "%s", note)
	}
	if c := menuChoice(b.inv, withOnce(m.Wants, state)); c.Once {
		row("once", "%s", describeChoice(b.inv, c))
	}
	row("timeout", "%s", b.timeout())
	last := "it is not remembered"
	if id := cmp.Or(state.Trying, state.Last); id != "" {
		last = b.nameOf(id)
		if a := state.Attempt; state.Trying != "" && a.Time != 0 {
			last += fmt.Sprintf(", try %d of %d at %s, which has not reported that it is up", a.Try, a.Of, lasttime.Clock(a.Time))
		}
	}
	row("last", "%s", last)
	row("memory", "%s", b.store.Where())
	if text := s.measured(); text != "" {
		row("measured", "%s", text)
	}
	s.say("\nA reboot from here:")
	s.status(ctx, b, m.Wants)
	return nil
}

// describeChoice returns what is chosen, and why.
func describeChoice(inv boot.Inventory, c choice.Choice) string {
	e, ok := choice.Find(inv.Entries, c.ID)
	if !ok || c.ID == "" {
		return "nothing: " + c.Wait
	}
	return e.Name() + ", as " + c.Because
}
