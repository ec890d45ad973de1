package discover

import (
	"fmt"
	"reflect"
	"testing"
	"time"
)

func TestNext(t *testing.T) {
	now := time.Unix(1000, 0)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	const limit = 10 * time.Second
	many := func(n int, v task) (vs []task) {
		for range n {
			vs = append(vs, v)
		}
		return vs
	}
	upTo := func(n int) (is []int) {
		for i := range n {
			is = append(is, i)
		}
		return is
	}
	at := task{phase: ready, since: ago(time.Minute), parsed: true}
	again := task{phase: ready, since: ago(100 * time.Millisecond), parsed: true, again: true}
	for _, tt := range []struct {
		name       string
		volumes    []task
		assemblies []time.Time
		noMemory   bool
		want       plan
	}{
		{name: "nothing there", want: plan{}},
		{name: "all is known", volumes: []task{at, {phase: failed}, {phase: overdue, since: ago(time.Hour)}}, want: plan{}},
		{name: "new devices are probed", volumes: many(2, task{phase: queued}), want: plan{probe: []int{0, 1}, busy: true}},
		{name: "but not all at once", volumes: many(9, task{phase: queued}), want: plan{probe: upTo(4), busy: true}},
		{name: "what is mounted comes first", volumes: []task{{phase: queued}, {phase: mounted}}, want: plan{parse: []int{1}, probe: []int{0}, busy: true}},
		{
			name:    "those under way fill the room for a moment",
			volumes: append(many(4, task{phase: probing, since: ago(40 * time.Millisecond)}), task{phase: queued}),
			want:    plan{busy: true, wake: now.Add(60 * time.Millisecond)},
		},
		{
			name:    "and hold back nobody then",
			volumes: append(many(4, task{phase: probing, since: ago(patience)}), task{phase: queued}),
			want:    plan{probe: []int{4}, busy: true, wake: now.Add(limit - patience)},
		},
		{
			name:    "no more are parsed at once, however long they take",
			volumes: append(many(maxReading, task{phase: parsing, since: ago(time.Second)}), task{phase: mounted}),
			want:    plan{busy: true, wake: now.Add(9 * time.Second)},
		},
		{name: "a write is waited for", volumes: []task{{phase: writing, since: ago(3 * time.Second), parsed: true}}, want: plan{wake: now.Add(7 * time.Second)}},
		{name: "and given up as anything else", volumes: []task{{phase: writing, since: ago(limit), parsed: true}}, want: plan{overdue: []int{0}}},
		{
			name:    "a device that does not answer is given up",
			volumes: []task{{phase: probing, since: ago(limit)}, {phase: parsing, since: ago(limit + 1)}, at},
			want:    plan{overdue: []int{0, 1}},
		},
		{
			name:    "one that may answer is waited for",
			volumes: []task{{phase: probing, since: ago(4 * time.Second)}},
			want:    plan{busy: true, wake: now.Add(6 * time.Second)},
		},
		{name: "an assembly is waited for", assemblies: []time.Time{ago(9 * time.Second)}, want: plan{busy: true, wake: now.Add(time.Second)}},
		{name: "and given up", assemblies: []time.Time{ago(limit)}, want: plan{unanswered: true}},
		{name: "parsed again at once when all else is known", volumes: []task{at, again}, want: plan{again: []int{1}, busy: true}},
		{
			name:    "or later when others have yet to answer",
			volumes: []task{{phase: probing, since: ago(time.Second)}, again},
			want:    plan{busy: true, wake: now.Add(400 * time.Millisecond)},
		},
		{
			name:    "but not beyond a limit",
			volumes: []task{{phase: probing, since: ago(time.Second)}, {phase: ready, since: ago(rereadDelay), parsed: true, again: true}},
			want:    plan{again: []int{1}, busy: true, wake: now.Add(9 * time.Second)},
		},
		{name: "nothing is parsed again during a write, which nobody waits for", volumes: []task{{phase: writing, since: now, parsed: true}, again}, want: plan{wake: now.Add(limit)}},
		{name: "nor what had its turn", volumes: []task{{phase: writing, since: now, parsed: true}, {phase: mounted, parsed: true}}, want: plan{wake: now.Add(limit)}},
		{name: "but what is new", volumes: []task{{phase: writing, since: now, parsed: true}, {phase: mounted}}, want: plan{parse: []int{1}, busy: true, wake: now.Add(limit)}},
		{name: "a write begins when the volume is ready", volumes: []task{{phase: ready, parsed: true, writes: true}}, want: plan{write: []int{0}}},
		{name: "and not before", volumes: []task{{phase: parsing, since: now, writes: true}}, want: plan{busy: true, wake: now.Add(limit)}},
		{
			name:    "without memory one after another",
			volumes: []task{{phase: parsing, since: ago(time.Second)}, {phase: queued}}, noMemory: true,
			want: plan{busy: true, wake: now.Add(pace)},
		},
		{name: "but one", volumes: many(2, task{phase: queued}), noMemory: true, want: plan{probe: []int{0}, busy: true, wake: now.Add(pace)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := next(situation{now: now, limit: limit, processors: 1, noMemory: tt.noMemory, volumes: tt.volumes, assemblies: tt.assemblies})
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("\n got %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

// A volume goes through its life in one direction; that it goes elsewhere is a
// defect, and its row has that.
func TestPhases(t *testing.T) {
	var all []phase
	for p := queued; p <= gone; p++ {
		all = append(all, p)
	}
	reached := map[phase]bool{queued: true}
	for _, from := range all {
		allowed := 0
		for _, to := range all {
			v := &volume{phase: from}
			(&state{}).to(v, to)
			switch {
			case v.status.Problem == "":
				allowed++
				reached[to] = true
				if v.phase != to || from == gone || to == queued || from == to {
					t.Errorf("%v after %v, asked for %v", v.phase, from, to)
				}
			case v.phase != failed && from != gone:
				t.Errorf("%v after %v: it is %v", to, from, v.phase)
			}
		}
		if allowed != len(from.next()) {
			t.Errorf("%d phases follow %v, want %v", allowed, from, from.next())
		}
	}
	if len(reached) != len(all) {
		t.Errorf("only these are reached: %v", fmt.Sprint(reached))
	}
}
