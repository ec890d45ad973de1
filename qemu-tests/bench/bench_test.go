package main

import "testing"

func TestSmallestFindsTheLimit(t *testing.T) {
	for _, tt := range []struct{ needs, want int }{
		{needs: 150, want: 152},
		{needs: 192, want: 192},
		{needs: 1, want: 32},
		{needs: 512, want: 512},
		{needs: 4096, want: 0},
	} {
		starts := 0
		got := smallest(func(mib int) bool { starts++; return mib >= tt.needs })
		if got != tt.want {
			t.Errorf("needing %d MiB: got %d, want %d", tt.needs, got, tt.want)
		}
		if starts > 8 {
			t.Errorf("needing %d MiB: %d machines were started", tt.needs, starts)
		}
	}
}
