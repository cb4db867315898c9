//! NVIDIA's management library, loaded at run time where it is there: driver, CUDA, compute
//! capabilities and brands. A node without it costs one failed look-up.

use std::path::Path;

use metahub_hardware::detect::NvmlAnswers;
use nvml_wrapper::Nvml;
use nvml_wrapper::enum_wrappers::device::Brand;

/// The name by which drivers install it.
const LIBRARY: &str = "libnvidia-ml.so.1";

/// Asks the library; `None` where there is none, or no driver.
pub(crate) fn ask(library: Option<&Path>) -> Option<NvmlAnswers> {
    let path = library.unwrap_or(Path::new(LIBRARY)).as_os_str();
    let nvml = Nvml::builder().lib_path(path).init().ok()?;
    let mut answers = NvmlAnswers {
        driver: nvml.sys_driver_version().ok(),
        // 12040 is 12.4.
        cuda: nvml
            .sys_cuda_driver_version()
            .ok()
            .filter(|version| *version > 0)
            .map(|version| format!("{}.{}", version / 1000, version % 1000 / 10)),
        ..NvmlAnswers::default()
    };
    for at in 0..nvml.device_count().unwrap_or(0) {
        let Ok(device) = nvml.device_by_index(at) else {
            continue;
        };
        if let Ok(capability) = device.cuda_compute_capability() {
            let capability = format!("{}.{}", capability.major, capability.minor);
            answers.capabilities.push(capability);
        }
        if let Some(brand) = device.brand().ok().and_then(brand_name)
            && !answers.brands.contains(&brand.to_owned())
        {
            answers.brands.push(brand.to_owned());
        }
    }
    Some(answers)
}

/// As `NVIDIA_REQUIRE_*` writes it.
fn brand_name(brand: Brand) -> Option<&'static str> {
    Some(match brand {
        Brand::Unknown => return None,
        Brand::Quadro => "quadro",
        Brand::Tesla => "tesla",
        Brand::NVS => "nvs",
        Brand::GRID => "grid",
        Brand::GeForce => "geforce",
        Brand::Titan => "titan",
        Brand::VApps => "nvidiavapps",
        Brand::VPC => "nvidiavpc",
        Brand::VCS => "nvidiavcs",
        Brand::VWS => "nvidiavws",
        Brand::CloudGaming | Brand::VGaming => "nvidiacloudgaming",
        Brand::QuadroRTX => "quadrortx",
        Brand::NvidiaRTX => "nvidiartx",
        Brand::Nvidia => "nvidia",
        Brand::GeForceRTX => "geforcertx",
        Brand::TitanRTX => "titanrtx",
    })
}
