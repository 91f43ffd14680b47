"""MBTIBench: soft-label MBTI detection and its Dreaddit downstream task."""
