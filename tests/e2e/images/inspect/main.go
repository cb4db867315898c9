package main

import (
	"fmt"
	"math"
	"math/bits"
	"os"
)

func main() {
	s := 0.0
	n := 0
	for i := range 1000 {
		s = math.FMA(s, 0.5, float64(i))
		n += bits.OnesCount(uint(i))
	}
	fmt.Println(s, n, len(os.Args))
}
