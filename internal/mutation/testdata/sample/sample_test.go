package sample

import "testing"

func TestOver(t *testing.T) {
	if !Over(limit+5) || Over(limit-5) {
		t.Fail()
	}
}

func TestPrice(t *testing.T) {
	if Price("a", 0) != 3 {
		t.Fail()
	}
}

func TestSum(t *testing.T) {
	if Sum() != 0 || Sum(1, 2) != 3 {
		t.Fail()
	}
}

func TestIndex(t *testing.T) {
	all := []int{7, 8, 9}
	for i, n := range all {
		if Index(all, n) != i {
			t.Fail()
		}
	}
	if Index(all, 1) != -1 {
		t.Fail()
	}
}

func TestJoin(t *testing.T) {
	if j := Join([]int{1}, []int{2}); len(j) != 2 || j[0] != 1 || j[1] != 2 {
		t.Fail()
	}
}
