//! A real portrait, on the real models.

use std::{fs, path::Path, sync::Arc};

use pipeline_gpu::{
    onnx::OnnxModel,
    stages::{CutOut, DetectFaces, Region, Scene},
    vision::{DecodeLimits, MatteModel, decode, encode_png},
};

use crate::support::{load, portrait, real, tell};

fn center_face() -> OnnxModel {
    let free = [Some(1), Some(3), None, None];
    let builder = real("centerface.onnx").input_shape("input.1", free);
    load(builder.warm_up_shape("input.1", [1, 3, 64, 64])).unwrap()
}

#[tokio::test]
async fn the_face_of_a_portrait_is_found_and_its_figure_cut_out() {
    let picture = portrait();
    let detect = DetectFaces::new(&center_face()).unwrap();
    let told = tell(detect, Scene::new(Arc::clone(&picture))).await;
    let persons = told.result.as_ref().unwrap();
    assert_eq!(told.metadata("detected_persons"), 1, "{persons:?}");
    assert!(told.metadata("selected_person")["confidence"].as_f64() > Some(0.6));
    let person = persons.selected().unwrap();
    let face = person.face.unwrap();
    // Where people see the eyes and the corners of the mouth.
    let seen = [(152, 77), (186, 77), (169, 95), (155, 108), (184, 108)];
    for (found, seen) in face.landmarks.iter().zip(seen) {
        let apart = (found.0 - seen.0 as f32).hypot(found.1 - seen.1 as f32);
        assert!(apart < 9.0, "{found:?} is not {seen:?}: {face:?}");
    }
    let figure = person.figure(picture.dimensions());
    assert_eq!(figure.bottom, 384.0);
    assert!(figure.top < face.bounds.top && figure.width() > 3.0 * face.bounds.width());

    let matte = load(real("u2netp.onnx")).unwrap();
    let cut_out = CutOut::new(&matte, MatteModel::u2net()).unwrap();
    let told = tell(cut_out, Region::new(picture).only(figure)).await;
    let figure = told.result.unwrap();
    let alpha = |x, y| figure.image.get_pixel(x, y)[3];
    assert!(alpha(169, 95) > 240, "the nose: {}", alpha(169, 95));
    assert!(alpha(140, 300) > 240, "the breast: {}", alpha(140, 300));
    assert!(alpha(340, 20) < 15, "the rocket: {}", alpha(340, 20));
    assert!(alpha(5, 20) < 15, "the flag: {}", alpha(5, 20));
}

#[tokio::test]
async fn from_the_file_of_a_photo_comes_the_file_of_its_figure_cut_out() {
    let photo = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/portrait.jpg");
    let picture = decode(&fs::read(photo).unwrap(), &DecodeLimits::default()).unwrap();
    let picture = Arc::new(picture);
    let detect = DetectFaces::new(&center_face()).unwrap();
    let told = tell(detect, Scene::new(Arc::clone(&picture))).await;
    let only = told.result.unwrap().selected_figure(picture.dimensions());
    let matte = load(real("u2netp.onnx")).unwrap();
    let cut_out = CutOut::new(&matte, MatteModel::u2net()).unwrap();
    let told = tell(cut_out, Region::new(Arc::clone(&picture)).only(only)).await;
    let figure = told.result.unwrap().image;

    // Beside the models, for people to look at.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../pictures");
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("cut-out.png");
    fs::write(&file, encode_png(&figure).unwrap()).unwrap();

    let read = image::load_from_memory(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(read.color(), image::ColorType::Rgba8);
    let read = read.into_rgba8();
    assert_eq!(read.dimensions(), picture.dimensions());
    assert_eq!(read, figure);
    for (x, y) in [(169, 95), (155, 77), (140, 300)] {
        let [red, green, blue, alpha] = read.get_pixel(x, y).0;
        assert!(alpha > 240, "{alpha} inside, at {x}, {y}");
        let near = |(got, was): (u8, u8)| got.abs_diff(was) <= 8;
        let was = picture.get_pixel(x, y).0;
        assert!([red, green, blue].into_iter().zip(was).all(near));
    }
    for (x, y) in [(340, 20), (5, 20), (2, 2), (380, 2)] {
        let alpha = read.get_pixel(x, y)[3];
        assert!(alpha < 15, "{alpha} outside, at {x}, {y}");
    }
}

#[tokio::test]
async fn a_picture_without_a_face_has_none() {
    let picture = crate::support::red_on_grey(320, 240, [40..100, 40..200]);
    let detect = DetectFaces::new(&center_face()).unwrap();
    let told = tell(detect, Scene::new(picture)).await;
    assert_eq!(told.result.unwrap_err().code(), "NO_PERSON_FOUND");
}
