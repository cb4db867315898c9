fn main() {
    let v: Vec<f32> = (0..1000).map(|x| x as f32).collect();
    let w: Vec<f32> = v.iter().map(|x| x * 2.5 + 1.0).collect();
    let s: f32 = w.iter().zip(&v).map(|(a, b)| a * b).sum();
    let c: u32 = (0..1000u32).map(|x| x.count_ones()).sum();
    let mut z: Vec<i64> = (0..1000).map(|i| (i * 7919) % 1000).collect();
    z.sort();
    println!("{} {} {}", s, c, z[3]);
}
